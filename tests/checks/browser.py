"""A headless Chromium driven over a pipe (the DevTools protocol), with nothing but Python's own library."""
import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time


def find_chromium():
    """The program's path, or None."""
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


class Browser:
    """One page. Notes every error on its console and every request that is not for the page itself or inlined data."""

    def __init__(self, program, width=1400, height=1000):
        self.folder = tempfile.TemporaryDirectory()
        command_in, self.to = os.pipe()
        self.back, answer_out = os.pipe()
        arguments = [program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
                     f"--user-data-dir={self.folder.name}", f"--window-size={width},{height}", "about:blank"]
        # Chromium takes commands from descriptor 3 and answers on 4.
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{command_in} 4>&{answer_out}', "bash", *arguments],
                                        pass_fds=[command_in, answer_out], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(command_in)
        os.close(answer_out)
        self.buffer, self.number, self.session = b"", 0, None
        self.errors, self.requests, self.loads = [], [], 0
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        for _ in range(20):  # its helpers write a little longer
            try:
                self.folder.cleanup()
                return
            except OSError:
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message(60)
            if answer is None:
                raise TimeoutError(f"Chromium does not answer {method}")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def message(self, seconds):
        """The next message, its event noted; None where there is none in time."""
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.back], [], [], left)[0]:
                return None
            part = os.read(self.back, 1 << 20)
            if not part:
                raise RuntimeError("Chromium has ended")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        answer = json.loads(text)
        self.note(answer.get("method"), answer.get("params", {}))
        return answer

    def note(self, method, values):
        if method == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in values["args"]))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.errors.append(values["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = values["request"]["url"]
            if not url.startswith("data:") and values.get("type") != "Document":
                self.requests.append(url)
        elif method == "Page.loadEventFired":
            self.loads += 1

    def open(self, path):
        before = self.loads
        self.call("Page.navigate", url=pathlib.Path(path).resolve().as_uri())
        self.wait_for_loads(before + 1)

    def wait_for_loads(self, count, seconds=60):
        end = time.monotonic() + seconds
        while self.loads < count:
            if self.message(max(0.0, end - time.monotonic())) is None:
                raise TimeoutError(f"{self.loads} page loads, not {count}, in {seconds} s")

    def value(self, expression):
        """What a JavaScript expression gives, as JSON."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "exception"))
        return answer["result"].get("value")

    def dark(self, dark=True):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme",
                                                           "value": "dark" if dark else "light"}])

    def screenshot(self, path, whole_page=True):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))
