-- The node has set a level of a member, or says so again.
-- args: level value
-- needs: member_changes

return member_changed(LEVELS[args.level], args.level, args.value)
