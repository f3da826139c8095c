-- A new worker of the node raises the fence before it does anything else.
-- needs: node_fence

if fenced() then return refusal("fenced") end
return "{}"
