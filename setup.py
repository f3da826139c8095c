"""What setup.cfg has no place for: the part in C. Where it cannot be built, the rest is installed without it.

With `ESL_PURE_PYTHON` set, it is left out, and the wheel is one for every platform.
"""

import os

from setuptools import Extension, setup

fast = Extension("esl._fast", ["esl/_fast.c"], optional=True, py_limited_api=True)
setup(ext_modules=[] if os.environ.get("ESL_PURE_PYTHON") else [fast])
