"""Moving a server to another host.

Two jobs carry it out, one after the other: the old host stops the game and sends the server's files to the machine of
the web (`operations`, `doors`); the new host takes them from there. In between, and at the end, when it changes the
server's row, the web decides (`desk`): worker hosts ask it over HTTP (`content`), its own host by a call. Until that
end nothing is deleted, and whatever fails leaves the server on its old host.
"""
