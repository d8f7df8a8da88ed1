"""What a page and its kernel have said to each other last, for the message of a test in a browser that fails."""

import collections
import itertools
import json
import time
import weakref

MOST = 60  # lines that are kept
_HEARD = weakref.WeakKeyDictionary()


def heard(page):
    """Return the last lines that went over a page's WebSockets since `listen`, oldest first."""
    return "\n".join(_HEARD.get(page, ()))


def listen(page):
    """Begin to note what goes over a page's WebSockets; to be called before the page is loaded."""
    lines = _HEARD[page] = collections.deque(maxlen=MOST)
    start = time.monotonic()

    def note(way, data):
        lines.append(f"{time.monotonic() - start:8.2f} s {way} {said(data)}")

    def opened(socket):
        note("opened", socket.url)
        socket.on("framesent", lambda data: note("page ->", data))
        socket.on("framereceived", lambda data: note("kernel ->", data))
        socket.on("close", lambda _: note("closed", socket.url))
        socket.on("socketerror", lambda error: note("error", str(error)))

    page.on("websocket", opened)
    page.on("pageerror", lambda error: note("page error", str(error)))
    page.on("console", lambda message: note("console", message.text))


def said(data):
    """Return one frame of Jupyter's binary protocol in a line: kind, who is meant, what changes, answer to what."""
    if isinstance(data, str):
        return data[:160]
    header, parent, content = parts(data)
    inner = content.get("data", {})
    state = inner.get("state", {}) if isinstance(inner, dict) else {}
    changes = json.dumps({name: value for name, value in state.items() if isinstance(value, int | str)})[:120]
    facts = (
        header["msg_type"],
        header["msg_id"][-12:],
        f"for {content.get('comm_id', '')[:8]}" if "comm_id" in content else "",
        f"{inner.get('method', '')} {changes}" if state else content.get("execution_state", ""),
        str(content.get("text", content.get("traceback", "")))[-600:],
        f"answers {parent['msg_id'][-12:]}" if parent.get("msg_id") else "",
        f"{len(data)} bytes",
    )
    return ", ".join(filter(None, facts))


def parts(data):
    """Return header, parent's header and content of a frame (v1.kernel.websocket.jupyter.org)."""
    count = int.from_bytes(data[:8], "little")
    places = [int.from_bytes(data[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    fields = [data[start:end] for start, end in itertools.pairwise(places)]
    return json.loads(fields[1]), json.loads(fields[2]), json.loads(fields[4])
