"""Sampling: requests in, samples out.  ``protocol`` says what an engine is, ``budget`` how thinking is bounded."""
