"""Terminals, as the official SDK opens them: synchronous and asynchronous."""

import asyncio
import threading
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    PtySize,
)

# No program takes longer than this on any machine.
PATIENCE_S = 60


def name():
    return f"pty-{uuid.uuid4().hex[:8]}"


class Shown:
    """Reads a terminal in a thread of its own, and waits for texts in what it shows."""

    def __init__(self, handle):
        self.handle = handle
        self.seen = b""
        self.changed = threading.Condition()
        self.result = None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        result = self.handle.wait(on_data=self.take)
        with self.changed:
            self.result = result
            self.changed.notify_all()

    def take(self, data):
        with self.changed:
            self.seen += data
            self.changed.notify_all()

    def until(self, text):
        with self.changed:
            assert self.changed.wait_for(lambda: text.encode() in self.seen, PATIENCE_S), self.seen[-2000:]

    def end(self):
        self.thread.join(PATIENCE_S)
        assert self.result is not None, "the terminal did not end"
        return self.result


def test_create_with_folder_variables_and_size(box):
    handle = box.process.create_pty_session(
        id=name(), cwd="/usr", envs={"E": "one $two ü"}, pty_size=PtySize(cols=100, rows=30)
    )
    shown = Shown(handle)
    handle.send_input("echo \"[$E]\"; pwd; echo $TERM; stty size; id -un\n")
    for text in ("[one $two ü]", "\r\n/usr\r\n", "xterm-256color", "30 100", "daytona\r\n"):
        shown.until(text)
    info = box.process.get_pty_session_info(handle.session_id)
    assert (info.id, info.cwd, info.cols, info.rows, info.active) == (handle.session_id, "/usr", 100, 30, True)
    assert info.envs == {"E": "one $two ü"}
    handle.send_input("exit 7\n")
    result = shown.end()
    assert result.exit_code == 7
    assert handle.exit_code == 7
    with pytest.raises(DaytonaNotFoundError):
        box.process.get_pty_session_info(handle.session_id)


def test_what_cannot_be_made(box):
    handle = box.process.create_pty_session(id=name())
    with pytest.raises(DaytonaConflictError):
        box.process.create_pty_session(id=handle.session_id)
    with pytest.raises(DaytonaBadRequestError):
        box.process.create_pty_session(id=name(), cwd="/no/such/folder")
    with pytest.raises(DaytonaBadRequestError):
        box.process.create_pty_session(id=name(), pty_size=PtySize(cols=1001, rows=24))
    handle.kill()


def test_what_is_not_there(box):
    for call in (
        lambda: box.process.get_pty_session_info("none"),
        lambda: box.process.kill_pty_session("none"),
        lambda: box.process.resize_pty_session("none", PtySize(cols=80, rows=24)),
    ):
        with pytest.raises(DaytonaNotFoundError):
            call()
    # Of a refused connection this SDK keeps the status only in its words.
    with pytest.raises(DaytonaError, match="404|[Nn]ot.found"):
        box.process.connect_pty_session("none")


def test_list_and_kill(box):
    handle = box.process.create_pty_session(id=name())
    shown = Shown(handle)
    handle.send_input("sleep 98711 & disown; (setsid sleep 98712 &); echo star''ted\n")
    shown.until("started")
    assert handle.session_id in [session.id for session in box.process.list_pty_sessions()]
    handle.kill()
    assert shown.end().exit_code == 137
    assert handle.session_id not in [session.id for session in box.process.list_pty_sessions()]
    assert box.process.exec("pgrep -f 'sleep 9871[12]'").exit_code == 1, "nothing of it is left"


def test_two_clients_resize_and_reattach(box):
    first = box.process.create_pty_session(id=name())
    seen_first = Shown(first)
    first.send_input("echo be''fore\n")
    seen_first.until("before")
    second = box.process.connect_pty_session(first.session_id)
    seen_second = Shown(second)
    # What was shown before it came.
    seen_second.until("before")
    second.send_input("sh -c 'trap \"stty size\" WINCH; echo re\"\"ady; while :; do sleep 0.1; done'\n")
    for shown in (seen_first, seen_second):
        shown.until("ready")
    info = first.resize(PtySize(cols=111, rows=17))
    assert (info.cols, info.rows) == (111, 17)
    for shown in (seen_first, seen_second):
        shown.until("17 111")
    second.send_input(b"\x03")
    first.disconnect()
    second.send_input("echo st''ill\n")
    seen_second.until("still")
    second.send_input("exit\n")
    assert seen_second.end().exit_code == 0
    with pytest.raises(DaytonaError):
        box.process.resize_pty_session(first.session_id, PtySize(cols=80, rows=24))


def test_interrupt_and_bytes(box):
    handle = box.process.create_pty_session(id=name())
    shown = Shown(handle)
    handle.send_input("echo wai''ting; sleep 98713\n")
    shown.until("waiting")
    handle.send_input(b"\x03")
    handle.send_input("echo \"code $?\"\n")
    shown.until("code 130")
    handle.send_input("stty raw -echo; echo re''ady; head -c 256 > /tmp/bytes; stty sane; echo st''ored\n")
    shown.until("ready")
    handle.send_input(bytes(range(256)))
    shown.until("stored")
    assert box.fs.download_file("/tmp/bytes") == bytes(range(256))
    handle.kill()
    shown.end()


def test_editor_and_pager(toolbox):
    handle = toolbox.process.create_pty_session(id=name(), pty_size=PtySize(cols=80, rows=24))
    shown = Shown(handle)
    handle.send_input("vim -u NONE -i NONE -n /tmp/edited\r")
    shown.until("\x1b[?1049h")
    handle.send_input("ihello\x1b:wq\r")
    shown.until("\x1b[?1049l")
    assert toolbox.fs.download_file("/tmp/edited") == b"hello\n"
    handle.send_input("seq 1 500 > /tmp/long; less /tmp/long\r")
    shown.until("23\r\n")
    handle.send_input("G")
    shown.until("500\r\n")
    handle.send_input("q")
    handle.send_input("htop\r")
    shown.until("F10")
    handle.send_input("q")
    handle.send_input("exit\r")
    assert shown.end().exit_code == 0


def test_async_client(box):
    async def case():
        async with AsyncDaytona() as daytona:
            sandbox = await daytona.get(box.id)
            seen = bytearray()
            changed = asyncio.Event()

            def take(data):
                seen.extend(data)
                changed.set()

            async def until(text):
                while text.encode() not in seen:
                    changed.clear()
                    await asyncio.wait_for(changed.wait(), PATIENCE_S)

            handle = await sandbox.process.create_pty_session(
                id=name(), on_data=take, cwd="/usr", envs={"E": "1"}, pty_size=PtySize(cols=90, rows=20)
            )
            await handle.send_input("echo [$E]; pwd; stty size\n")
            for text in ("[1]", "/usr\r\n", "20 90"):
                await until(text)
            assert (await handle.resize(PtySize(cols=70, rows=15))).cols == 70
            await handle.send_input("stty size\n")
            await until("15 70")
            with pytest.raises(DaytonaConflictError):
                await sandbox.process.create_pty_session(id=handle.session_id, on_data=take)
            with pytest.raises(DaytonaError, match="404"):
                await sandbox.process.connect_pty_session("none", on_data=take)

            again = bytearray()
            other = await sandbox.process.connect_pty_session(handle.session_id, on_data=again.extend)
            await handle.send_input("exit 3\n")
            assert (await handle.wait()).exit_code == 3
            assert (await other.wait()).exit_code == 3
            assert b"20 90" in again, "what was shown before it came"

            killed = await sandbox.process.create_pty_session(id=name(), on_data=take)
            assert killed.session_id in [one.id for one in await sandbox.process.list_pty_sessions()]
            await killed.kill()
            assert (await killed.wait()).exit_code == 137
            with pytest.raises(DaytonaNotFoundError):
                await sandbox.process.get_pty_session_info(killed.session_id)

    asyncio.run(case())
