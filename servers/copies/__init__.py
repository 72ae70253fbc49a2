"""Copies of the servers of worker hosts on the machine of the web, from which they are restored when a host is lost.

Each night a job of each server sends its files (`operations`, `selection`, `pieces`, `doors`): the stream of a move,
in pieces that are named by their hashes, of which the web takes those that it does not have (`desk`, `store`). The
newest whole copy of each server is kept. When a host is lost, a job of another one takes the copy, as in a move.
"""
