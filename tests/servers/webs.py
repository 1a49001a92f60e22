"""Web servers: their applications, and how each is started by its documentation."""

from __future__ import annotations

from .harness import Server, request

WSGI = """
import guest
guest.begin()

def app(environ, start_response):
    body = guest.work().encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [body]
"""

LIFESPAN = """
import guest
BEGIN

async def lifespan(receive, send):
    await receive()
    STARTED
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan ended", flush=True)
    await send({"type": "lifespan.shutdown.complete"})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    body = (await guest.awork()).encode()
    head = {"type": "http.response.start", "headers": [(b"content-length", b"4")]}
    await send({"status": 200, **head})
    await send({"type": "http.response.body", "body": body})
"""
ASGI = LIFESPAN.replace("BEGIN", "guest.begin()").replace("STARTED", "")
LIFESPAN = LIFESPAN.replace("BEGIN", "").replace("STARTED", "guest.begin()")

GUNICORN_CONF = """
import guest

def post_worker_init(worker):
    guest.begin()
"""

RELOADS = ("TERM master", "INT master", "TERM worker", "HUP master")


def _script(text: str) -> dict[str, str]:
    return {"serve.py": text}


def _gunicorn(*options: str, app: str = WSGI, packages: tuple[str, ...] = ("gunicorn",)) -> Server:
    command = (
        "-m",
        "gunicorn",
        "-b",
        "unix:socket",
        "-w",
        "1",
        "--no-control-socket",
        *options,
        "app:app",
    )
    events = (*RELOADS, "QUIT master", "INT worker")
    return Server(packages, {"app.py": app}, command, request, events)


SERVERS = {
    "gunicorn-sync": _gunicorn(),
    "gunicorn-gthread": _gunicorn("--threads", "2"),
    "gunicorn-preload": _gunicorn("--preload"),
    "gunicorn-gevent": _gunicorn("-k", "gevent", packages=("gunicorn", "gevent")),
    "gunicorn-uvicorn": _gunicorn(
        "-k", "uvicorn_worker.UvicornWorker", app=ASGI, packages=("gunicorn", "uvicorn-worker")
    )._replace(
        # SIGQUIT does not end this worker; gunicorn kills it half a minute later.
        # SIGINT has its default action there, of which it dies once it has drained.
        handlers={"INT master": "lost", "QUIT master": "lost", "INT worker": "lost or once"},
        # While exit handlers run, the main thread goes on behind uvicorn's own death.
        quiet="Worker exiting",
    ),
    "gunicorn-hook": _gunicorn("-c", "conf.py")._replace(
        files={"app.py": WSGI.replace("guest.begin()\n", "", 1), "conf.py": GUNICORN_CONF}
    ),
    "uvicorn": Server(
        ("uvicorn",), {"app.py": ASGI}, ("-m", "uvicorn", "--uds", "socket", "app:app"), request
    ),
    "uvicorn-lifespan": Server(
        ("uvicorn",), {"app.py": LIFESPAN}, ("-m", "uvicorn", "--uds", "socket", "app:app"), request
    ),
    "uvicorn-workers": Server(
        ("uvicorn",),
        {"app.py": ASGI},
        ("-m", "uvicorn", "--workers", "2", "--uds", "socket", "app:app"),
        request,
        RELOADS,
        processes=2,
        quiet="Waiting for connections",  # on HUP: which of the two is told first is chance
    ),
    "granian": Server(
        ("granian",),
        {"app.py": ASGI},
        ("-m", "granian", "--interface", "asgi", "--uds", "socket", "app:app"),
        request,
        RELOADS,
    ),
    "granian-wsgi": Server(
        ("granian",),
        {"app.py": WSGI},
        ("-m", "granian", "--interface", "wsgi", "--uds", "socket", "app:app"),
        request,
        RELOADS,
    ),
    "hypercorn": Server(
        ("hypercorn",),
        {"app.py": ASGI},
        ("-m", "hypercorn", "--bind", "unix:socket", "app:app"),
        request,
        ("TERM master", "INT master", "TERM worker"),
    ),
    "waitress": Server(
        ("waitress",),
        {"app.py": WSGI},
        ("-m", "waitress", "--unix-socket", "socket", "app:app"),
        request,
    ),
    "daphne": Server(
        ("daphne",), {"app.py": ASGI}, ("-m", "daphne", "-u", "socket", "app:app"), request
    ),
    "aiohttp": Server(
        ("aiohttp",),
        _script("""
            import guest
            from aiohttp import web

            async def answer(request):
                return web.Response(text=await guest.awork())

            guest.begin()
            app = web.Application()
            app.add_routes([web.get("/", answer)])
            web.run_app(app, path="socket")
            """),
        ("serve.py",),
        request,
    ),
    "tornado": Server(
        ("tornado",),
        _script("""
            import asyncio, guest
            from tornado.httpserver import HTTPServer
            from tornado.netutil import bind_unix_socket
            from tornado.web import Application, RequestHandler

            class Answer(RequestHandler):
                async def get(self):
                    self.write(await guest.awork())

            async def main():
                server = HTTPServer(Application([("/", Answer)]))
                server.add_socket(bind_unix_socket("socket"))
                await asyncio.Event().wait()

            guest.begin()
            asyncio.run(main())
            """),
        ("serve.py",),
        request,
        quiet=r"^File|\^\^",
    ),
    "twisted": Server(
        ("twisted",),
        _script("""
            import guest
            from twisted.internet import reactor, threads
            from twisted.web import resource, server

            class Answer(resource.Resource):
                isLeaf = True
                def render_GET(self, request):
                    def reply(text):
                        request.write(text.encode())
                        request.finish()
                    threads.deferToThread(guest.work).addCallback(reply)
                    return server.NOT_DONE_YET

            guest.begin()
            reactor.listenUNIX("socket", server.Site(Answer()))
            reactor.run()
            """),
        ("serve.py",),
        request,
    ),
    "sanic": Server(
        ("sanic",),
        {
            "app.py": """
            import guest
            from sanic import Sanic
            from sanic.response import text

            app = Sanic("Served")

            @app.after_server_start
            async def begin(*_):
                guest.begin()

            @app.get("/")
            async def answer(request):
                return text(await guest.awork())
            """
        },
        ("-m", "sanic", "app:app", "--unix", "socket", "--workers", "1", "--no-motd"),
        request,
        ("TERM master", "INT master", "TERM worker"),
        settle=1.0,
    ),
    "cheroot": Server(
        ("cheroot",),
        {
            "app.py": WSGI,
            "serve.py": """
            from app import app
            from cheroot.wsgi import Server
            server = Server("socket", app)
            try:
                server.start()
            except KeyboardInterrupt:
                server.stop()
            """,
        },
        ("serve.py",),
        request,
    ),
    "cherrypy": Server(
        ("cherrypy",),
        _script("""
            import cherrypy, guest

            class Root:
                @cherrypy.expose
                def index(self):
                    return guest.work()

            cherrypy.config.update({"server.socket_file": "socket", "engine.autoreload.on": False})
            cherrypy.engine.signals.subscribe()
            cherrypy.tree.mount(Root())
            cherrypy.engine.start()
            guest.begin()
            cherrypy.engine.block()
            """),
        ("serve.py",),
        request,
        ("TERM master", "INT master", "HUP master"),
        settle=0.5,
    ),
    "gevent": Server(
        ("gevent",),
        {
            "app.py": WSGI,
            "serve.py": """
            from gevent import monkey
            monkey.patch_all()
            import signal, socket
            from app import app
            from gevent import pywsgi, signal_handler
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("socket")
            listener.listen(8)
            server = pywsgi.WSGIServer(listener, app, log=None)
            signal_handler(signal.SIGTERM, server.stop, 30)
            server.serve_forever(stop_timeout=30)
            """,
        },
        ("serve.py",),
        request,
    ),
    "eventlet": Server(
        ("eventlet",),
        {
            "app.py": WSGI,
            "serve.py": """
            import eventlet
            eventlet.monkey_patch()
            import socket
            from eventlet import wsgi
            from app import app
            wsgi.server(eventlet.listen("socket", family=socket.AF_UNIX), app, log_output=False)
            """,
        },
        ("serve.py",),
        request,
    ),
    "uwsgi": Server(
        ("uwsgi",),
        {"app.py": WSGI.replace("def app", "def application")},
        (
            "-c",
            "import os, sys; os.execvp(os.path.dirname(sys.executable) + '/uwsgi', sys.argv)",
            *("--http-socket", "socket", "--module", "app", "--processes", "1", "--master"),
            *("--enable-threads", "--lazy-apps", "--die-on-term", "--worker-reload-mercy", "30"),
        ),
        request,
        ("TERM master", "INT master", "HUP master"),
        {"TERM master": "lost", "INT master": "lost"},  # in the middle of a request
    ),
}
