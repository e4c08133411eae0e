"""What arrived at the stand-in for W&B, and its answers from that."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

ENTITY = "someone"
HISTORY, EVENTS, SUMMARY = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json"

Variables = dict[str, Any]


@dataclass
class ArrivedRun:
    """One run."""

    name: str
    """Its id, for W&B."""
    project: str
    told: Variables = field(default_factory=dict)
    """Newest values of `UpsertBucket`: displayName, groupName, jobType, notes, tags and others."""
    streams: dict[str, dict[int, str]] = field(default_factory=dict)
    """Of each streamed file the lines, by their number."""
    overwritten: list[tuple[str, int]] = field(default_factory=list)
    """Streamed lines that came more than once and were not the same: file and number."""
    alerts: list[Variables] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    """Ids of artifacts."""
    exit_code: int | None = None
    _file_paths: dict[str, str] = field(default_factory=dict)
    _uploads: dict[str, bytes] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows in the order in which W&B has them."""
        return [*map(json.loads, self._lines(HISTORY))]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the machine did: rows of `system.*`."""
        return [*map(json.loads, self._lines(EVENTS))]

    @property
    def summary(self) -> dict[str, Any]:
        """The newest."""
        lines = self._lines(SUMMARY)
        newest: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return newest

    @property
    def config(self) -> dict[str, Any]:
        """Settings without W&B's wrapping of each in a `value`, and without its own `_wandb`."""
        whole = json.loads(self.told.get("config") or "{}")
        return {key: one["value"] for key, one in whole.items() if key != "_wandb"}

    @property
    def files(self) -> dict[str, bytes]:
        """Uploaded files by their path, media among them."""
        return {
            name: self._uploads[path]
            for name, path in self._file_paths.items()
            if path in self._uploads
        }

    def _lines(self, file: str) -> list[str]:
        lines = self.streams.get(file, {})
        return [lines[number] for number in sorted(lines)]


@dataclass
class ArrivedArtifact:
    """One version of an artifact."""

    id: str
    collection: str
    version: int
    type: str
    digest: str
    given: Variables
    """As `CreateArtifact` has it: aliases, metadata, description, runName and others."""
    state: str = "PENDING"
    manifest: str | None = None
    """Path of its upload."""
    file_paths: dict[str, str] = field(default_factory=dict)
    """Of the files that were new to the service: name to path of the upload."""

    @property
    def aliases(self) -> list[str]:
        """Without the version's own, such as v0."""
        return [one["alias"] for one in self.given.get("aliases") or []]


class Arrivals:
    """Runs, artifacts and files by what W&B calls them."""

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[str, ArrivedRun] = {}
        self.artifacts: list[ArrivedArtifact] = []
        self.uploads: dict[str, bytes] = {}
        self.unknown: list[str] = []
        """Operations without an answer of their own; they were answered with nothing."""
        self._numbers = count(1)
        self._manifests: dict[str, ArrivedArtifact] = {}

    def run(self, name: str | None = None) -> ArrivedRun:
        """The run of an id, or the only one."""
        if name is not None:
            return self.runs[name]
        (only,) = self.runs.values()
        return only

    def artifacts_of(self, kind: str) -> list[ArrivedArtifact]:
        """The committed ones of a type."""
        return [one for one in self.artifacts if one.type == kind and one.state == "COMMITTED"]

    def content(self, artifact: ArrivedArtifact) -> dict[str, bytes]:
        """The files of an artifact by name, as its manifest has them."""
        assert artifact.manifest is not None
        manifest = json.loads(self.uploads[artifact.manifest])
        by_digest = {
            entry["digest"]: self.uploads[other.file_paths[name]]
            for other in self.artifacts
            if other.manifest in self.uploads
            for name, entry in json.loads(self.uploads[str(other.manifest)])["contents"].items()
            if other.file_paths.get(name) in self.uploads
        }
        return {name: by_digest[entry["digest"]] for name, entry in manifest["contents"].items()}

    def take_upload(self, path: str, body: bytes) -> dict[str, Any]:
        """Keeps the content of a PUT."""
        self.uploads[path] = body
        return {}

    def take_stream(self, path: str, body: Variables) -> dict[str, Any]:
        """Keeps the lines of a run's streamed files, each at its number."""
        _, _, _, _, name, _ = map(urllib.parse.unquote, path.split("/"))
        run = self.runs[name]
        for file, chunk in (body.get("files") or {}).items():
            lines = run.streams.setdefault(file, {})
            for number, line in enumerate(chunk["content"], chunk["offset"]):
                if file in (HISTORY, EVENTS) and lines.get(number, line) != line:
                    run.overwritten.append((file, number))
                lines[number] = line
        if body.get("complete"):
            run.exit_code = body.get("exitcode")
        return {"limits": {}}

    def answer(self, name: str, asked: Variables) -> dict[str, Any]:
        """The data of a GraphQL operation."""
        answers: dict[str, Callable[[Variables], dict[str, Any]]] = {
            "Viewer": _viewer,
            "GetViewer": _viewer,
            "GetDefaultEntity": _viewer,
            "ServerFeaturesQuery": _features,
            "UpsertBucket": self._upsert,
            "RunResumeStatus": self._resume_status,
            "CreateRunFiles": self._create_run_files,
            "NotifyScriptableRunAlert": self._alert,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_manifest,
            "UpdateArtifactManifest": self._update_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit,
            "UseArtifact": self._use,
            "ArtifactByID": self._artifact_by_id,
            "ArtifactType": self._artifact_type,
            "OrganizationCoreWeaveOrganizationID": _no_organisation,
        }
        if name not in answers:
            self.unknown.append(name)
            return {}
        return answers[name](asked)

    def _upsert(self, asked: Variables) -> dict[str, Any]:
        name = asked.get("name") or _named_in(asked["id"])
        is_new = name not in self.runs
        run = self.runs.setdefault(name, ArrivedRun(name, asked.get("project") or "uncategorized"))
        run._uploads = self.uploads
        run.told |= {key: value for key, value in asked.items() if value is not None}
        return {"upsertBucket": {"bucket": _bucket(run), "inserted": is_new}}

    def _resume_status(self, asked: Variables) -> dict[str, Any]:
        run = self.runs.get(asked["name"])
        return {
            "model": {
                "id": "project",
                "name": asked.get("project"),
                "entity": {"id": "entity", "name": ENTITY},
                "bucket": run and _state(run),
            }
        }

    def _create_run_files(self, asked: Variables) -> dict[str, Any]:
        run, files = self.runs[asked["run"]], []
        for name in asked["files"]:
            path = run._file_paths.setdefault(name, self._new_path(name))
            files.append({"name": name, "uploadUrl": self.url + path})
        return {"createRunFiles": {"runID": _id_of(run.name), "uploadHeaders": [], "files": files}}

    def _alert(self, asked: Variables) -> dict[str, Any]:
        self.runs[asked["runName"]].alerts.append(asked)
        return {"notifyScriptableRunAlert": {"success": True}}

    def _create_artifact(self, asked: Variables) -> dict[str, Any]:
        given = asked["input"]
        collection = given["artifactCollectionName"]
        versions = [one for one in self.artifacts if one.collection == collection]
        same = [one for one in versions if one.digest == given["digest"]]
        if same:
            artifact = same[-1]
            artifact.given["aliases"] = [
                *(artifact.given.get("aliases") or []),
                *(given.get("aliases") or []),
            ]
        else:
            artifact = ArrivedArtifact(
                id=f"artifact-{next(self._numbers)}",
                collection=collection,
                version=len(versions),
                type=given["artifactTypeName"],
                digest=given["digest"],
                given=given,
            )
            self.artifacts.append(artifact)
        latest = {"id": versions[-1].id} if versions else None
        found = {**_artifact(artifact), "artifactSequence": {"latestArtifact": latest}}
        return {"createArtifact": {"artifact": found}}

    def _create_manifest(self, asked: Variables) -> dict[str, Any]:
        number = f"manifest-{next(self._numbers)}"
        self._manifests[number] = self._artifact(asked["artifactID"])
        return {"createArtifactManifest": self._manifest(number, asked)}

    def _update_manifest(self, asked: Variables) -> dict[str, Any]:
        number = asked["artifactManifestID"]
        return {"updateArtifactManifest": self._manifest(number, asked)}

    def _manifest(self, number: str, asked: Variables) -> dict[str, Any]:
        file: dict[str, Any] = {"id": f"{number}-file"}
        if asked["includeUpload"]:
            path = self._new_path(number)
            self._manifests[number].manifest = path
            file |= {"uploadUrl": self.url + path, "uploadHeaders": []}
        return {"artifactManifest": {"id": number, "file": file}}

    def _create_artifact_files(self, asked: Variables) -> dict[str, Any]:
        nodes = []
        for file in asked["input"]["artifactFiles"]:
            artifact = self._artifact(file["artifactID"])
            path = self._new_path(file["name"])
            artifact.file_paths[file["name"]] = path
            nodes.append(
                {
                    "node": {
                        "name": file["name"],
                        "storagePath": path.lstrip("/"),
                        "uploadUrl": self.url + path,
                        "uploadHeaders": [],
                        "uploadMultipartUrls": None,
                        "artifact": {"id": artifact.id},
                    }
                }
            )
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _commit(self, asked: Variables) -> dict[str, Any]:
        artifact = self._artifact(asked["artifactID"])
        artifact.state = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def _use(self, asked: Variables) -> dict[str, Any]:
        given = asked["input"]
        self.runs[given["runName"]].used.append(given["artifactID"])
        return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}

    def _artifact_by_id(self, asked: Variables) -> dict[str, Any]:
        return {"artifact": _artifact(self._artifact(asked["id"]))}

    def _artifact_type(self, asked: Variables) -> dict[str, Any]:
        """Of an artifact by collection and alias."""
        collection, _, alias = asked["name"].rpartition("/")[2].partition(":")
        for one in reversed(self.artifacts):
            if one.collection == collection and alias in ("", *_aliases(one)):
                return {"project": {"artifact": _artifact(one)}}
        return {"project": {"artifact": None}}

    def _artifact(self, number: str) -> ArrivedArtifact:
        return next(one for one in self.artifacts if one.id == number)

    def _new_path(self, name: str) -> str:
        return f"/storage/{next(self._numbers)}/{urllib.parse.quote(name)}"


def _viewer(_: Variables) -> dict[str, Any]:
    return {
        "viewer": {
            "id": "viewer",
            "entity": ENTITY,
            "username": ENTITY,
            "name": ENTITY,
            "email": f"{ENTITY}@example.com",
            "flags": "{}",
            "teams": {"edges": []},
        }
    }


def _features(_: Variables) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


def _bucket(run: ArrivedRun) -> dict[str, Any]:
    return {
        "id": _id_of(run.name),
        "name": run.name,
        "displayName": run.told.get("displayName") or run.name,
        "description": None,
        "config": run.told.get("config"),
        "sweepName": run.told.get("sweep"),
        "project": {"id": "project", "name": run.project, "entity": {"id": "e", "name": ENTITY}},
        "historyLineCount": len(run.streams.get(HISTORY, {})),
    }


def _state(run: ArrivedRun) -> dict[str, Any]:
    """What a run that goes on is told of itself."""
    return {
        **_bucket(run),
        "summaryMetrics": json.dumps(run.summary),
        "logLineCount": len(run.streams.get("output.log", {})),
        "eventsLineCount": len(run.streams.get(EVENTS, {})),
        "historyTail": json.dumps(run._lines(HISTORY)[-1:]),
        "eventsTail": json.dumps(run._lines(EVENTS)[-1:]),
        "tags": run.told.get("tags") or [],
        "notes": run.told.get("notes"),
        "wandbConfig": json.dumps({"t": 1}),
    }


def _artifact(artifact: ArrivedArtifact) -> dict[str, Any]:
    project = {
        "id": "project",
        "internalId": "project",
        "name": artifact.given.get("projectName"),
        "entity": {"id": "entity", "name": ENTITY},
    }
    collection = {
        "__typename": "ArtifactSequence",
        "id": artifact.collection,
        "name": artifact.collection,
        "project": project,
    }
    return {
        "__typename": "Artifact",
        "id": artifact.id,
        "artifactSequence": collection,
        "versionIndex": artifact.version,
        "artifactType": {"name": artifact.type},
        "description": artifact.given.get("description"),
        "metadata": artifact.given.get("metadata"),
        "ttlDurationSeconds": None,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": artifact.state,
        "size": 0,
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": artifact.digest,
        "fileCount": len(artifact.file_paths),
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": None,
        "aliases": [
            {
                "__typename": "ArtifactAlias",
                "id": f"{artifact.id}-{alias}",
                "alias": alias,
                "artifactCollection": collection,
            }
            for alias in _aliases(artifact)
        ],
    }


def _aliases(artifact: ArrivedArtifact) -> list[str]:
    return [*dict.fromkeys(["latest", f"v{artifact.version}", *artifact.aliases])]


def _no_organisation(_: Variables) -> dict[str, Any]:
    return {"entity": {"organization": None}}


def _id_of(name: str) -> str:
    """As W&B makes one for its own use."""
    return base64.b64encode(f"Run:v1:{name}".encode()).decode()


def _named_in(number: str) -> str:
    return base64.b64decode(number).decode().rpartition(":")[2]
