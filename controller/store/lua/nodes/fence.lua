-- A new worker of the node raises the fence before it does anything else.
return cjson.encode({ fenced = fenced() })
