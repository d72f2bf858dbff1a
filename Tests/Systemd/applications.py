"""Supervisor configurations of applications, taken from the packages that ship them, at fixed versions.

Nothing of theirs is kept here. What a file names (programs, users, directories) goes before it in the comments that
support.PREPARE reads; the programs are stood in for. Templates are filled in with their own defaults as far as they
have any.
"""
import glob
import importlib
import os
import re
import subprocess
import sys
import tarfile

import support

# In their source archives only.
SOURCES = ("celery==5.4.0", "gunicorn==23.0.0", "Kallithea==0.7.0")
# Templates, and what fills them in.
PACKAGES = ("devpi-server==6.20.3", "frappe-bench==5.31.1", "mayan-edms==4.12.2", "Django==4.2.16", "asgiref==3.8.1",
            "sqlparse==0.5.1", "Jinja2==3.1.4", "MarkupSafe==3.0.2")


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def sources():
    names = ",".join(requirement.partition("==")[0] for requirement in SOURCES)
    return support.cached("supervised-sources-1", lambda place: pip(
        "download", "--no-deps", "--no-binary", names, "--dest", place, *SOURCES))


def packages():
    return support.cached("supervised-packages-1", lambda place: pip(
        "install", "--no-deps", "--only-binary", ":all:", "--target", place, *PACKAGES))


def shipped(name, path):
    """The text of a file in a source archive."""
    archive, = glob.glob(f"{sources()}/{name}-*.tar.gz")
    with tarfile.open(archive) as file:
        member, = (entry for entry in file.getmembers() if entry.name.partition("/")[2] == path)
        return file.extractfile(member).read().decode()


def packaged(path):
    with open(f"{packages()}/{path}") as file:
        return file.read()


def celery():
    """Its three files; the line that its own comment says to uncomment is uncommented."""
    main, count = re.subn(r"^;files=celeryd\.conf$", "files=celeryd.conf celerybeat.conf",
                          shipped("celery", "extra/supervisord/supervisord.conf"), flags=re.M)
    assert count == 1, main
    yield "main", """;@install /usr/local/bin/celery
;@mkdir /path/to/project /var/log/celery /var/log/supervisord
""" + main
    for name in ("celeryd.conf", "celerybeat.conf"):
        yield name, shipped("celery", f"extra/supervisord/{name}")


def gunicorn():
    yield "main", """;@install /usr/local/bin/gunicorn
;@mkdir /path/to/project
""" + shipped("gunicorn", "examples/supervisor.conf")


def kallithea():
    """supervisord itself becomes the user, whose configuration directory takes the logs."""
    yield "main", """;@user username
;@install /srv/kallithea/venv/bin/gearbox
;@own username /etc/conf/kallithea
""" + shipped("Kallithea", "init.d/supervisord.conf")


def devpi():
    """As devpi-gen-config fills it in."""
    yield "main", ";@install /srv/devpi/bin/devpi-server\n" + packaged("devpi_server/cfg/supervisord.conf.template").format()
    yield "supervisor-devpi.conf", packaged("devpi_server/cfg/supervisor-devpi.conf.template").format(
        devpibin="/srv/devpi/bin/devpi-server",
        server_args='--serverdir "/srv/devpi/data 1" --host 0.0.0.0 --port 3141')


def frappe():
    """As `bench setup supervisor` fills it in, for a bench with a worker of its own."""
    sys.path.insert(0, packages())
    try:
        template = importlib.import_module("jinja2").Template(packaged("bench/config/templates/supervisor.conf"))
    finally:
        sys.path.remove(packages())
    bench = "/home/frappe/frappe-bench"
    yield "main", f""";@user frappe
;@install {bench}/env/bin/gunicorn /usr/local/bin/bench /usr/bin/redis-server
;@mkdir {bench}/sites
;@own frappe {bench} {bench}/logs
""" + template.render(
        bench_dir=bench, sites_dir=f"{bench}/sites", user="frappe", http_timeout=120, redis_server="/usr/bin/redis-server",
        socketio_enabled=True, redis_cache_config=f"{bench}/config/redis_cache.conf",
        redis_queue_config=f"{bench}/config/redis_queue.conf", webserver_port=8000, gunicorn_workers=5,
        gunicorn_max_requests=5000, gunicorn_max_requests_jitter=500, bench_name="frappe-bench", background_workers=2,
        bench_cmd="/usr/local/bin/bench", skip_redis=False, multi_queue_consumption=True, supervisor_startretries=10,
        workers={"import": {"timeout": 5000, "background_workers": 1}})


def mayan():
    """As `platform_template supervisord` fills it in. Its commands come from the variables that it sets itself."""
    sys.path.insert(0, packages())
    try:
        template = importlib.import_module("django.template")
        safe = importlib.import_module("django.utils.safestring").mark_safe
    finally:
        sys.path.remove(packages())
    library = template.Library()

    class WithoutEmptyLines(template.Node):
        def __init__(self, nodes):
            self.nodes = nodes

        def render(self, context):
            return "\n".join(line for line in self.nodes.render(context).strip().split("\n") if line.strip())

    @library.tag
    def spaceless_plus(parser, _):
        nodes = parser.parse(("endspaceless_plus",))
        parser.delete_first_token()
        return WithoutEmptyLines(nodes)

    engine = template.Engine(dirs=[f"{packages()}/mayan/apps/platforms/templates"])
    engine.template_libraries["templating_tags"] = library
    literals = {}
    exec(packaged("mayan/literals.py"), literals)
    workers = [
        {"name": f"worker_{letter.lower()}", "queues": [{"name": queue} for queue in queues]} | {
            name: str(literals[f"MAYAN_WORKER_{letter}_{name.replace('maximum', 'max').upper()}"])
            for name in ("concurrency", "maximum_memory_per_child", "maximum_tasks_per_child", "nice_level")}
        for letter, queues in (("A", ["converter", "sources_fast"]), ("B", ["indexing"]), ("D", ["ocr", "parsing"]))]
    # As text: numbers would ask for Django's settings.
    values = {name: str(value) for name, value in literals.items() if name.isupper()} | {
        "ALLOWED_HOSTS": safe("['*']"), "INSTALLATION_PATH": "/opt/mayan-edms/", "LOGGING_LEVEL": "ERROR",
        "MEDIA_ROOT": "/opt/mayan-edms/media/", "OS_USERNAME": "mayan", "SUPERVISOR_AUTORESTART": "true",
        "user_settings_folder": "/opt/mayan-edms/media/user_settings", "workers": workers}
    # The image that runs it sets this.
    yield "main", """;@user mayan
;@install /opt/mayan-edms/bin/gunicorn /opt/mayan-edms/bin/celery
;@environment MAYAN_INSTALL_DIR=/opt/mayan-edms
""" + engine.get_template("platforms/supervisord.tmpl").render(template.Context(values))


APPLICATIONS = (celery, gunicorn, kallithea, devpi, frappe, mayan)


def put(directory):
    """NAME.conf for each, and in NAME.d what belongs beside it."""
    for application in APPLICATIONS:
        for name, text in application():
            path = f"{directory}/{application.__name__}"
            if name == "main":
                path += ".conf"
            else:
                os.makedirs(path + ".d", exist_ok=True)
                path += f".d/{name}"
            with open(path, "w") as file:
                file.write(text)
