// Written by left4me at every start: tells of votes and of the end of a campaign, and changes nothing in the game.
// The game runs this file at the beginning of each round. What is told is printed in the log, and kept in
// ems/left4me_events.txt, which left4me reads.

if (!("Left4meEvents" in getroottable()))
{
	::Left4meEvents <-
	{
		FILE = "left4me_events.txt"
		KEPT = 20
		lines = null
		run = ""
		count = 0
		last = ""
		lastAt = -1.0
		votes = ["", "", ""]

		// A field of a line: without the characters that separate fields and lines.
		function Field(value)
		{
			local text = value == null ? "" : value.tostring()
			local clean = ""
			for (local at = 0; at < text.len() && at < 120; at++)
			{
				if (text[at] >= 0 && text[at] < 32)
					clean += " "
				else
					clean += text.slice(at, at + 1)
			}
			return clean
		}

		function Value(params, name)
		{
			return name in params ? params[name] : ""
		}

		function Begin()
		{
			lines = []
			run = format("%04x%04x", RandomInt(0, 65535), RandomInt(0, 65535))
			local text = FileToString(FILE)
			if (text == null)
				return
			foreach (line in split(text, "\n"))
			{
				if (line.len() > 0)
					lines.append(line)
			}
			// Numbers go on from the last line, so that no key comes twice, whatever the dice show after a start.
			try
			{
				local key = split(lines.top(), "\t")[0]
				count = key.slice(key.find("-") + 1).tointeger()
			}
			catch (fault) {}
		}

		function Tell(name, fields)
		{
			local text = name + "\t" + Field(Director.GetMapName()) + "\t" + Field(Director.GetGameModeBase())
			foreach (field in fields)
				text += "\t" + Field(field)
			// A round that begins again registers these functions again.
			if (text == last && Time() - lastAt < 1.0)
				return
			last = text
			lastAt = Time()
			if (lines == null)
				Begin()
			count++
			lines.append(run + "-" + count + "\t" + text)
			while (lines.len() > KEPT)
				lines.remove(0)
			local all = ""
			foreach (line in lines)
				all += line + "\n"
			StringToFile(FILE, all)
			printl("[left4me] " + text)
		}

		function OnGameEvent_finale_win(params) { ::Left4meEvents.Tell("finale_win", []) }
		function OnGameEvent_versus_match_finished(params) { ::Left4meEvents.Tell("versus_match_finished", []) }
		function OnGameEvent_scavenge_match_finished(params) { ::Left4meEvents.Tell("scavenge_match_finished", []) }
		function OnGameEvent_round_end(params) { ::Left4meEvents.Tell("round_end", []) }

		function OnGameEvent_vote_started(params)
		{
			local name = ""
			local steam = ""
			try
			{
				local player = PlayerInstanceFromIndex(::Left4meEvents.Value(params, "initiator").tointeger())
				if (player != null)
				{
					name = player.GetPlayerName()
					steam = player.GetNetworkIDString()
				}
			}
			catch (fault) {}
			local me = ::Left4meEvents
			me.votes = ["", "", ""]
			me.Tell("vote_started", [me.Value(params, "issue"), me.Value(params, "param1"), me.Value(params, "team"), name, steam])
		}

		function OnGameEvent_vote_changed(params)
		{
			local me = ::Left4meEvents
			me.votes = [me.Value(params, "yesVotes"), me.Value(params, "noVotes"), me.Value(params, "potentialVotes")]
		}

		function OnGameEvent_vote_passed(params)
		{
			local me = ::Left4meEvents
			local votes = me.votes
			me.Tell("vote_passed", [me.Value(params, "details"), me.Value(params, "param1"), me.Value(params, "team"), votes[0], votes[1], votes[2]])
		}

		function OnGameEvent_vote_failed(params)
		{
			local me = ::Left4meEvents
			local votes = me.votes
			me.Tell("vote_failed", ["", "", me.Value(params, "team"), votes[0], votes[1], votes[2]])
		}
	}
}

__CollectEventCallbacks(::Left4meEvents, "OnGameEvent_", "GameEventCallbacks", RegisterScriptGameEventListener)
