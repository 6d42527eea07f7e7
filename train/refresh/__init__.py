"""From corrections to a served adapter: the stages, replay, promotion and the registry."""
