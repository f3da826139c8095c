-- The node has turned a flag of a member on or off, or says so again of one that was so already.
-- args: flag on
-- needs: flag_changes member_changes

local change_to = change_of(FLAGS[args.flag], args.on)
return member_changed(change_to, args.flag, args.on and 1 or 0)
