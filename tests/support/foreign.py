"""Another program that spends the limit of the same user."""

from aiohttp import web

from tests.support.virtual_time import now


class Foreign:
    """Another program that spends the same user's quota."""

    def __init__(
        self, refusals: int, status: int = 429, body: bytes = b'{"msg":"Too Many Requests","code":"50011"}'
    ) -> None:
        self.refusals = refusals
        self.status = status
        self.body = body
        self.timestamps: list[str] = []
        self.came_at: list[float] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.came_at.append(now())
        self.timestamps.append(request.headers["OK-ACCESS-TIMESTAMP"])
        if len(self.timestamps) <= self.refusals:
            return web.Response(status=self.status, body=self.body, content_type="application/json")
        return web.json_response(
            {
                "code": "0",
                "msg": "",
                "data": [
                    {"ccy": "OKSOL", "amt": "1", "latestInterestAccrual": "", "totalInterestAccrual": ""},
                ],
            }
        )
