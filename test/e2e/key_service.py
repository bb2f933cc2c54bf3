"""What lends keys for S3 on machines that Amazon runs: an instance's metadata service, a container's service, a security token service.
No real one can run here, so this plays all three, and takes nobody who does not ask as each of them wants to be asked."""

import datetime
import http.server
import json
import threading
import urllib.parse

from e2e.s3_server import Account

ROLE = "lake-writer"
ROLE_ARN = "arn:aws:iam::123456789012:role/lake-writer"
SESSION = "session-of-the-metadata-service"
SECURITY_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"


class KeyService:
    """Lends what `account` says, for `life_s`. The caller closes it."""

    def __init__(self, account: Account, life_s: float = 3600):
        self.account = account
        self.life_s = life_s
        self.lent = 0
        #: What a container and a web identity have to show.
        self.token = "token-1"
        self.refused: list[str] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status: int, text: str) -> None:
                body = text.encode()
                if status >= 400:
                    service.refused.append(f"{self.command} {self.path}")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self):
                lifetime = int(self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "0"))
                if self.path == "/latest/api/token" and 1 <= lifetime <= 21600:
                    return self.answer(200, SESSION)
                return self.answer(400, "")

            def do_GET(self):
                if self.path == "/container":
                    if self.headers.get("Authorization") != service.token:
                        return self.answer(401, json.dumps({"code": "NotAuthorized"}))
                    return self.answer(200, json.dumps(service.lend()))
                if self.headers.get("X-aws-ec2-metadata-token") != SESSION:
                    return self.answer(401, "")
                if self.path == SECURITY_CREDENTIALS:
                    return self.answer(200, ROLE)
                if self.path == SECURITY_CREDENTIALS + ROLE:
                    return self.answer(200, json.dumps({"Code": "Success", "Type": "AWS-HMAC"} | service.lend()))
                return self.answer(404, "")

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                asked = {name: values[0] for name, values in form.items()}
                wanted = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE_ARN, "RoleSessionName": "tailrace"}
                if any(asked.get(name) != value for name, value in wanted.items()):
                    return self.answer(400, "<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>")
                if asked.get("WebIdentityToken") != service.token:
                    return self.answer(400, "<ErrorResponse><Error><Code>InvalidIdentityToken</Code></Error></ErrorResponse>")
                lent = service.lend()
                named = {"AccessKeyId": lent["AccessKeyId"], "SecretAccessKey": lent["SecretAccessKey"], "SessionToken": lent["Token"],
                         "Expiration": lent["Expiration"]}
                inside = "".join(f"<{name}>{value}</{name}>" for name, value in named.items())
                return self.answer(200, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>"
                                        f"<Credentials>{inside}</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="key service", daemon=True).start()

    def lend(self) -> dict[str, str]:
        self.lent += 1
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.life_s)
        return {"AccessKeyId": self.account.key, "SecretAccessKey": self.account.secret, "Token": self.account.token,
                "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
