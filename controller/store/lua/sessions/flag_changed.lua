-- The node has turned a flag of a member on or off, or says so again of one that was so already.
-- args: flag on
-- needs: member_changes

local flag = FLAGS[args.flag]
return member_changed(args.on and flag.on or flag.off, flag.name, args.on and 1 or 0)
