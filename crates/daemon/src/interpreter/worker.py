# Runs the calls of one context, one after another, in one process that keeps their state.
#
# Descriptor 3 brings one line of JSON per call and takes one line of JSON at its end; everything else that the daemon
# learns comes through descriptors 1 and 2. The caller's code runs in `__main__`, this text in a place of its own.
import ast
import io
import json
import linecache
import os
import signal
import sys
import traceback

CONTROL = 3
# What the daemon takes of an error; more would not fit into one frame.
VALUE_CHARACTERS = 32 * 1024
TRACEBACK_CHARACTERS = 96 * 1024
# How much source is kept for tracebacks and `inspect`.
SOURCE_CHARACTERS = 4 * 1024 * 1024
IS_COROUTINE = 0x80  # inspect.CO_COROUTINE; the module is slow to import
FLAGS = getattr(ast, "PyCF_ALLOW_TOP_LEVEL_AWAIT", 0)


class Stream(io.FileIO):
    """A descriptor that takes everything at once."""

    def write(self, data):
        left = memoryview(data).cast("B")
        total = len(left)
        while left:
            written = super().write(left)
            if written is None:
                # A child has made the pipe, which it shares, answer instead of wait.
                os.set_blocking(self.fileno(), True)
            else:
                left = left[written:]
        return total


def text_stream(descriptor):
    """What `print` writes to: line by line, as on a terminal."""
    raw = io.BufferedWriter(Stream(descriptor, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class Interrupt:
    """Turns SIGINT into KeyboardInterrupt, but only inside the caller's code."""

    def __init__(self):
        self.code = None
        self.task = None
        self.is_early = False

    def __call__(self, _number, frame):
        while frame is not None and self.code is not None:
            if frame.f_code is self.code:
                raise KeyboardInterrupt
            frame = frame.f_back
        if self.task is not None:
            # The event loop waits, and nothing of the caller's is on the stack.
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        else:
            self.is_early = True

    def begin(self):
        self.is_early = False
        signal.signal(signal.SIGINT, self)

    def watch(self, code):
        self.code = code
        if self.is_early:
            raise KeyboardInterrupt


class Sources:
    """The texts of past calls, the oldest forgotten first."""

    def __init__(self):
        self.lengths = {}

    def remember(self, name, text):
        if len(text) > SOURCE_CHARACTERS:
            return
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        self.lengths[name] = len(text)
        while sum(self.lengths.values()) > SOURCE_CHARACTERS or len(self.lengths) > 1000:
            oldest = next(iter(self.lengths))
            del self.lengths[oldest]
            linecache.cache.pop(oldest, None)


class Loop:
    """The event loop of calls that await at their top level; made when the first does."""

    def __init__(self, interrupt):
        self.interrupt = interrupt
        self.loop = None

    def wait(self, coroutine):
        import asyncio

        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(coroutine)
        self.interrupt.task = task
        try:
            self.loop.run_until_complete(task)
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt().with_traceback(error.__traceback__) from None
        finally:
            self.interrupt.task = None


class Worker:
    def __init__(self):
        self.owner = os.getpid()
        self.space = sys.modules["__main__"].__dict__
        self.interrupt = Interrupt()
        self.sources = Sources()
        self.loop = Loop(self.interrupt)
        self.count = 0
        self.streams = (text_stream(1), text_stream(2))

    def serve(self):
        os.set_inheritable(CONTROL, False)
        sys.argv = [""]
        sys.__stdout__, sys.__stderr__ = self.streams
        # From now on a call may be interrupted without an end to all of them.
        self.interrupt.begin()
        self.say(0, None)
        with open(CONTROL, "rb", closefd=False) as calls:
            for line in calls:
                self.answer(json.loads(line.decode("utf-8")))

    def answer(self, call):
        self.interrupt.begin()
        self.mend_streams()
        variables = call["variables"]
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        error = self.run(call["code"])
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self.flush()
        if os.getpid() != self.owner:
            # A child that the code forked and did not end; the call is its parent's to answer.
            if error is not None:
                sys.__stderr__.write(error["traceback"])
            os._exit(0 if error is None else 1)
        self.say(call["number"], error)

    def say(self, number, error):
        answer = json.dumps({"number": number, "error": error}).encode("ascii") + b"\n"
        while answer:
            answer = answer[os.write(CONTROL, answer):]

    def run(self, text):
        self.count += 1
        name = f"<cell {self.count}>"
        code = None
        try:
            self.sources.remember(name, text)
            code = compile(text, name, "exec", FLAGS, True)
            self.interrupt.watch(code)
            if code.co_flags & IS_COROUTINE:
                self.loop.wait(eval(code, self.space))
            else:
                exec(code, self.space)
        except BaseException as error:
            self.interrupt.code = None
            return self.describe(error, code)
        finally:
            self.interrupt.code = None
        return None

    def describe(self, error, code):
        trace = error.__traceback__
        # Frames of this text, and of the event loop, come before the caller's own.
        while trace is not None and trace.tb_frame.f_code is not code:
            trace = trace.tb_next
        # And the one that raised KeyboardInterrupt comes behind them.
        last = trace
        while last is not None:
            while last.tb_next is not None and last.tb_next.tb_frame.f_code is Interrupt.__call__.__code__:
                last.tb_next = last.tb_next.tb_next
            last = last.tb_next
        try:
            value = str(error)
        except BaseException:
            value = "<an error that cannot be written as text>"
        try:
            lines = "".join(traceback.format_exception(type(error), error, trace))
        except BaseException:
            lines = ""
        if len(value) > VALUE_CHARACTERS:
            value = value[:VALUE_CHARACTERS] + "…"
        if len(lines) > TRACEBACK_CHARACTERS:
            # The end tells what happened.
            lines = "…" + lines[-TRACEBACK_CHARACTERS:]
        return {
            "name": str(type(error).__name__)[:200],
            "value": value,
            "traceback": lines,
            "interrupted": isinstance(error, KeyboardInterrupt),
        }

    def mend_streams(self):
        """What an earlier call has closed is open again; what it has replaced stays replaced."""
        for name, own in (("stdout", self.streams[0]), ("stderr", self.streams[1])):
            if own.closed:
                own = text_stream(1 if name == "stdout" else 2)
                self.streams = (own, self.streams[1]) if name == "stdout" else (self.streams[0], own)
                setattr(sys, f"__{name}__", own)
            stream = getattr(sys, name)
            if self.count == 0 or stream is None or getattr(stream, "closed", False):
                setattr(sys, name, own)
        if sys.stdin is None or getattr(sys.stdin, "closed", False):
            sys.stdin = open(os.devnull)

    def flush(self):
        for stream in (sys.stdout, sys.stderr, *self.streams):
            try:
                stream.flush()
            except BaseException:
                pass
        if "ctypes" in sys.modules:
            # What C code has printed waits in the C library until it is asked for.
            try:
                sys.modules["ctypes"].CDLL(None).fflush(None)
            except BaseException:
                pass


Worker().serve()
