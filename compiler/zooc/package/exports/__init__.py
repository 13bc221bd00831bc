"""A package in the form that a server of models, a container or a cluster takes."""
