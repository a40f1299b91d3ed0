#!/usr/bin/env python3
"""A web server with faults, for tests: serves the files of a folder, well or badly.

    remote_server.py FOLDER        prints "port N" and runs until its standard input closes

/files/NAME      ranges, If-Range, ETag, HEAD: a server as it should be
/FAULT/NAME      the same file through a fault (see Handler.fault); most strike the first request only
/bucket/KEY      an S3 service: requests must be signed with the key pair below, listings come in pages of two
/log             the requests so far, one "METHOD path range" a line
"""
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse
import xml.sax.saxutils

KEY_ID, SECRET, TOKEN = "AKTEST", "test/secret+key", "session/token=="
ROOT = sys.argv[1]
LOCK = threading.Lock()
LOG = []
SEEN = {}


def etag_of(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


def signature(handler, path, query):
    """What the Authorization header has to be, by AWS's description of Signature Version 4."""
    given = handler.headers["Authorization"]
    fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
    scope = fields["Credential"].split("/", 1)[1]
    names = fields["SignedHeaders"].split(";")
    canonical = "\n".join([
        handler.command, path,
        "&".join(sorted(query.split("&"))) if query else "",
        "".join(f"{n}:{' '.join(handler.headers[n].split())}\n" for n in names),
        fields["SignedHeaders"], handler.headers["x-amz-content-sha256"]])
    text = "\n".join(["AWS4-HMAC-SHA256", handler.headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    want = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    needed = {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    return fields["Signature"] == want and needed <= set(names) and scope.endswith("/eu-test-1/s3/aws4_request")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/log":
            return self.reply(200, "\n".join(LOG).encode())
        with LOCK:
            LOG.append(f"{self.command} {self.path} {self.headers.get('Range', '-')}")
            if self.command == "GET":
                SEEN[path] = SEEN.get(path, 0) + 1
        kind, _, name = path.lstrip("/").partition("/")
        if kind == "bucket":
            return self.s3(path, query, urllib.parse.unquote(name))
        self.fault(kind, urllib.parse.unquote(name), SEEN.get(path, 0))

    def reply(self, code, body=b"", headers=()):
        self.send_response(code)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def data(self, name):
        try:
            with open(os.path.join(ROOT, name), "rb") as file:
                return file.read()
        except OSError:
            return None

    def fault(self, kind, name, times):
        data = self.data(name)
        if data is None:
            return self.reply(404, b"<html>no such file</html>")
        first = times <= 1
        if kind.startswith("only-"):  # the fault strikes shards, not their index
            kind = kind[5:] if "shard" in name else "files"
        if kind in ("401", "403", "400", "404", "503"):
            return self.reply(int(kind), b"no")
        if kind == "500twice" and self.command == "GET" and times <= 2:
            return self.reply(500, b"oops")
        if kind == "429" and first:
            return self.reply(429, b"slow down", [("Retry-After", "1")])
        if kind == "429long":
            return self.reply(429, b"slow down", [("Retry-After", "600")])
        if kind == "redirect":
            return self.reply(302, b"", [("Location", "/files/" + urllib.parse.quote(name))])
        if kind == "loop":
            return self.reply(302, b"", [("Location", self.path)])
        if kind == "tofile":
            return self.reply(302, b"", [("Location", f"file://{ROOT}/{name}")])
        if kind == "longhead":
            return self.reply(200, data, [(f"X-{i}", "x" * 900) for i in range(400)])
        if kind == "endless":  # chunks of a body that says no length, for a few seconds
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            end = time.monotonic() + 5
            try:
                while self.command != "HEAD" and time.monotonic() < end:
                    self.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            except OSError:
                pass
            self.close_connection = True
            return None
        if kind == "nohead" and self.command == "HEAD":
            return self.reply(405)
        if kind == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if self.command == "HEAD":
                return None
            half = len(data) // 2
            for part in (data[:half], data[half:]) if times > 1 else (data[:half],):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if times > 1:
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True
            return None
        if kind == "corrupt" and self.command == "GET" and first:  # a bit turns on the way
            return self.reply(200, data[:-1] + bytes([data[-1] ^ 1]), [("ETag", etag_of(data))])
        if kind == "newetag":  # another file after the first, broken, answer
            data = data if first else bytes(reversed(data))
        if kind == "misrange" and self.headers.get("Range") and times == 2:
            return self.reply(206, data[:5], [("Content-Range", f"bytes 0-4/{len(data)}"), ("ETag", etag_of(data))])
        return self.file(kind, data, first)

    def file(self, kind, data, first):
        start, code = 0, 200
        tag = etag_of(data)
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range", tag) == tag
        if wanted.startswith("bytes=") and same and kind not in ("norange", "brokennorange"):
            low, _, high = wanted[6:].partition("-")
            start, code = int(low), 206
            if start >= len(data):
                return self.reply(416, b"", [("Content-Range", f"bytes */{len(data)}")])
            end = min(int(high) + 1, len(data)) if high else len(data)
        else:
            end = len(data)
        self.send_response(code)
        if kind != "noetag":
            self.send_header("ETag", tag)
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = data[start:end]
        breaks = {"broken", "brokennorange", "newetag", "misrange", "noetag"}
        if (kind in breaks and first) or kind == "brokenalways":
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
        elif (kind == "stall" and first) or kind == "stallalways":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            time.sleep(4)
            self.close_connection = True
        elif kind == "slow":
            for at in range(0, len(body), 65536):
                self.wfile.write(body[at:at + 65536])
                time.sleep(0.02)
        else:
            self.wfile.write(body)

    def s3(self, path, query, name):
        def error(code, word):
            body = f"<Error><Code>{word}</Code><Message>about {word}</Message></Error>".encode()
            return self.reply(code, body, [("x-amz-bucket-region", "eu-test-1")])

        if name.startswith("public/"):
            if self.headers.get("Authorization"):
                return error(400, "SignedButPublic")
        elif not self.headers.get("Authorization"):
            return error(403, "AccessDenied")
        elif not signature(self, path, query):
            return error(403, "SignatureDoesNotMatch")
        if name:
            data = self.data(name)
            return error(404, "NoSuchKey") if data is None else self.file("files", data, True)
        asked = dict(urllib.parse.parse_qsl(query))
        return self.listing(asked.get("prefix", ""), asked.get("continuation-token", ""))

    def listing(self, prefix, token):
        keys = sorted(os.path.relpath(os.path.join(folder, file), ROOT)
                      for folder, _, files in os.walk(ROOT) for file in files)
        keys = [key for key in keys if key.startswith(prefix) and key > token.removeprefix("a&b=")]
        page, more = keys[:2], len(keys) > 2
        body = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        for key in page:
            data = self.data(key)
            body += (f"<Contents><Key>{urllib.parse.quote_plus(key, safe='/')}</Key>"
                     f"<ETag>{xml.sax.saxutils.escape(etag_of(data), {chr(34): '&quot;'})}</ETag>"
                     f"<Size>{len(data)}</Size></Contents>")
        body += f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        if more:  # the token needs escaping in XML and in the next query
            body += f"<NextContinuationToken>{xml.sax.saxutils.escape('a&b=' + page[-1])}</NextContinuationToken>"
        self.reply(200, (body + "</ListBucketResult>").encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that hang up are the point of these tests
        pass


def main():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"port {server.server_address[1]} ready", flush=True)
    threading.Event().wait()  # until killed


main()
