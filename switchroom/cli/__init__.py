"""The command line, a module a subject. Expected faults end in one clear line and a non-zero exit code, never in a
traceback.
"""
