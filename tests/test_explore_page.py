"""The explorer as a page: on this machine only unless asked, no code, no files, a token for others."""

import importlib.util
import json
import socket
import urllib.error
import urllib.request

import pytest
from stored import write_runs
from toy import wait_for
from typer.testing import CliRunner

from mespot_lib import explore_page
from mespot_lib.cli import app

has_voila = pytest.mark.skipif(importlib.util.find_spec("voila") is None, reason="Voila is not installed")


def test_only_addresses_of_this_machine_are_local():
    assert all(map(explore_page.is_local, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(explore_page.is_local, ("0.0.0.0", "192.168.1.4", "::", "example.org", "")))


def test_the_page_shows_no_source_no_traceback_and_no_file():
    given = explore_page.settings("127.0.0.1", 8866, "", False)
    assert given["VoilaConfiguration"]["strip_sources"]
    assert not given["VoilaConfiguration"]["show_tracebacks"]
    assert given["VoilaConfiguration"]["file_denylist"] == [".*"]
    assert not given["Voila"]["tornado_settings"]["allow_remote_access"]
    assert explore_page.settings("0.0.0.0", 1, "x", False)["Voila"]["tornado_settings"]["allow_remote_access"]


def test_a_port_in_use_is_passed_over():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with explore_page.reserved_port("127.0.0.1", port) as free:
            assert free > port


def test_two_explorers_started_together_have_a_port_each():
    """Neither listens yet when the other looks for a port."""
    with (
        explore_page.reserved_port("127.0.0.1", 8921) as one,
        explore_page.reserved_port("127.0.0.1", 8921) as other,
    ):
        assert one != other
    with explore_page.reserved_port("127.0.0.1", one) as again:
        assert again == one


@has_voila
def test_a_page_that_ends_by_itself_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(explore_page, "settings", lambda *_: {"Voila": {"ip": "192.0.2.1", "port": 1}})
    said = CliRunner().invoke(app, ["explore", "--reports", str(tmp_path), "--no-browser"])
    assert said.exit_code == 2
    assert "the page has ended" in said.stderr


def test_an_address_of_another_machine_is_refused():
    said = CliRunner().invoke(app, ["explore", "--host", "192.0.2.1", "--no-browser"])
    assert said.exit_code == 2
    assert "cannot serve on 192.0.2.1" in said.stderr


def test_without_voila_it_is_said_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "voila" else find(name))
    said = CliRunner().invoke(app, ["explore", "--no-browser"])
    assert said.exit_code == 2
    assert "mespot[explore]" in said.stderr


def test_ones_own_runs_are_shown_before_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("MESPOT_REPORTS", str(tmp_path))
    assert explore_page.default_reports().parts[-2:] == ("reports", "reference")
    write_runs(tmp_path, "zhang2020")
    assert explore_page.default_reports() == tmp_path


def got(url, *, host=None):
    """Return status and text of an address, without following a redirection."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError:
        return 0, ""


@has_voila
def test_nothing_but_the_page_is_served(tmp_path):
    write_runs(tmp_path, "zhang2020")
    with explore_page.served(tmp_path, port=8971) as (_, address):
        wait_for(lambda: got(address + "voila/static/nothing")[0])
        for path in (
            *("voila/files/explorer.ipynb", "voila/files/../voila.json", "voila/files/%2e%2e/voila.json"),
            *("files/explorer.ipynb", "api/contents", "voila/api/contents", "voila/tree", "api/kernelspecs"),
            *("voila/files/" + str(tmp_path / "runs/toy/zhang2020"), "api/sessions", "api/terminals"),
        ):
            status, text = got(address + path)
            assert status in (403, 404, 405) or "mespot_lib" not in text, path
            assert status != 200 or "<html" in text.lower(), path
            assert "voila.json" not in text
        assert got(address, host="evil.example")[0] == 403, "a stranger's name for this machine is refused"


@has_voila
def test_others_need_the_token(tmp_path):
    with explore_page.served(tmp_path, "0.0.0.0", port=8981) as (_, address):
        bare, token = address.split("?token=")
        bare = bare.replace("0.0.0.0", "127.0.0.1")
        wait_for(lambda: got(bare)[0])
        assert got(bare)[0] in (302, 403)
        assert got(f"{bare}?token=wrong")[0] in (302, 403)
        status, text = got(f"{bare}?token={token}")
        assert status == 200
        assert "mespot_lib" not in text, "the page shows code"
        assert len(token) > 20


def test_the_page_is_a_notebook_of_one_cell(tmp_path):
    notebook = explore_page.page_notebook(tmp_path)
    assert len(notebook["cells"]) == 1
    assert str(tmp_path) in notebook["cells"][0]["source"]
    json.dumps(notebook)
