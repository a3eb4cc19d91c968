"""The parts of the registry of endpoints.

What may be put and updated (`configs`), the tables (`store`), the steps from one version of them to
the next (`migrations`), one connection per thread (`connections`), and the file and its mode
(`files`). `langchain_hf_endpoint.registry` is their face.
"""
