"""The parts of the limiter: who stands where in the line, and when each may start.

Pure arithmetic (`schedule`, `line`, `limits`), the lock and the clock around it (`turns`), and what
keeps copies of one limiter one (`copies`). `langchain_hf_endpoint.limiter` is their face.
"""
