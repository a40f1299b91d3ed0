"""A small web with the tempers that downloads meet: download_server.py LOG [CERTAIN...]. Prints its port.

/<host>/<temper>/<file> gives the file's bytes (body_of): "plain" as a good server does, "drop" closes the connection after
20,000 bytes of each answer, "short" announces all and sends half, once, "error" answers 500 twice, "norange" knows no ranges, "stall"
stops sending, "unsized" announces no length, "gone" is 404, "private" asks for the token "sesame", "full" announces 1 PB.
Hugging Face's and MLCommons' listings are imitated. LOG gets a line for each request.
"""
import hashlib
import http.server
import json
import sys
import threading
import time

log = open(sys.argv[1], "a", buffering=1)
counts = {}
lock = threading.Lock()


def body_of(name):
    size = 3 if name.endswith(".json") else 60_000
    return bytes((17 * i + 31 * (i >> 8) + len(name)) & 255 for i in range(size))


def git_id(body):
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def listing(second):
    large, small = body_of("pytorch_model.bin"), body_of("config.json")
    pages = [[{"type": "directory", "path": "sub"}, {"type": "file", "path": "config.json", "size": len(small), "oid": git_id(small)}],
             [{"type": "file", "path": "pytorch_model.bin", "size": len(large), "oid": "0" * 40,
               "lfs": {"oid": hashlib.sha256(large).hexdigest(), "size": len(large)}}]]
    return json.dumps(pages[second]).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, length=None, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if length != "unknown":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.wfile.flush()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        token = self.headers.get("Authorization", "")
        asked = self.headers.get("Range", "")
        log.write(f"{self.command} {self.path} {asked} {token}\n")
        parts = path.strip("/").split("/")
        with lock:
            count = counts[self.command + path] = counts.get(self.command + path, 0) + 1
        if "api" in parts:
            return self.list_files(parts, query, token)
        if parts[-1].endswith((".uri", ".md5")):
            return self.describe_set(parts[-1])
        if parts[-1] not in ("a.bin", "b.bin", "config.json", "pytorch_model.bin"):
            return self.answer(404, b"no such thing")
        if "private" in parts and token != "Bearer sesame":
            return self.answer(401, b"a token, please")
        if "gone" in parts:
            return self.answer(404, b"gone")
        if "error" in parts and self.command == "GET" and count <= 2:
            return self.answer(500, b"not now")
        if "norange" in parts:
            asked = ""
        self.send_file(parts, body_of(parts[-1]), int(asked[6:].split("-")[0]) if asked else 0, asked, count)

    def send_file(self, parts, body, first, asked, count):
        if first >= len(body) and asked:
            return self.answer(416, b"")
        rest = body[first:]
        headers = [("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")] if asked else []
        status = 206 if asked else 200
        if self.command == "HEAD" or "drop" not in parts and "short" not in parts and "stall" not in parts:
            length = 10**15 if "full" in parts else "unknown" if "unsized" in parts else len(rest)
            return self.answer(status, rest, length, headers)
        sent = 20_000 if "drop" in parts or count == 1 else len(rest)
        self.answer(status, rest[:sent], len(rest), headers)
        if "stall" in parts and count <= 1:
            time.sleep(20)
        self.close_connection = True

    def list_files(self, parts, query, token):
        if "private" in parts and token != "Bearer sesame":
            return self.answer(401, b"{}")
        if "evil" in parts:
            return self.answer(200, json.dumps([{"type": "file", "path": "../config.json", "size": 3, "oid": ""}]).encode())
        if "cursor" in query:
            return self.answer(200, listing(1))
        host = f"https://{parts[0]}/" + "/".join(parts[1:])
        self.answer(200, listing(0), None, [("Link", f'<{host}?cursor=2>; rel="next"')])

    def describe_set(self, name):
        if name == "login.uri":
            return self.answer(200, b"<html>log in</html>")
        if name.endswith(".uri"):
            return self.answer(200, b"https://storage.example/plain\n")
        lines = [f"{hashlib.md5(body_of(file)).hexdigest()}  ./{folder}{file}" for folder, file in (("", "a.bin"), ("sub/", "b.bin"))]
        self.answer(200, "\n".join(lines).encode() + b"\n")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
