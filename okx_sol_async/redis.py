"""One limit over many processes, through Redis or Valkey: the extra ``redis``."""

from okx_sol_async.ratelimit.shared._limiter import RedisLimiter

__all__ = ["RedisLimiter"]
