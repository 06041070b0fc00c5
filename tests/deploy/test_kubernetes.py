"""The manifests of deploy/kubernetes against the published schemas, and against what the service does."""

import math

import kubernetes_validate
import pytest
import yaml
from live import DEPLOY

from service.app import ROUTES
from service.settings import Settings

FOLDER = DEPLOY / "kubernetes"
OLDEST, NEWEST = "1.27", "1.37"
MANIFESTS = [document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


def the(kind, name="odeserve"):
    (found,) = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


POD = the("Deployment")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRONMENT = {variable["name"]: variable for variable in CONTAINER["env"]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_what_the_published_schema_wants(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_refuse_what_is_misspelt():
    wrong = {**the("PodDisruptionBudget"), "spec": {"minAvailible": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST, strict=True)


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_asks_a_route_that_there_is(probe):
    asked = CONTAINER[probe]["httpGet"]
    assert (asked["path"], {"GET"}) in [(route.path, route.methods) for route in ROUTES]
    assert asked["port"] in {port["name"] for port in CONTAINER["ports"]}
    # Ready is a matter of the proxy, and must never restart a server that drains.
    assert asked["path"] == ("/health/live" if probe == "livenessProbe" else "/health/ready")


def test_a_pod_has_stopped_before_it_is_killed():
    settings = Settings(
        **{
            name.removeprefix("ODESERVE_").lower(): variable["value"]
            for name, variable in ENVIRONMENT.items()
            if "value" in variable
        }
    )
    command, seconds = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    drain = settings.lame_duck_seconds + settings.drain_notice_seconds + settings.drain_seconds
    assert float(seconds) > drain
    assert POD["terminationGracePeriodSeconds"] > float(seconds) + drain
    readiness = CONTAINER["readinessProbe"]
    assert float(seconds) > readiness["periodSeconds"] * readiness["failureThreshold"]


def test_a_service_of_that_name_puts_no_unknown_settings_into_the_environment():
    """Kubernetes would set ODESERVE_SERVICE_HOST, and a setting that is not known ends the start."""
    assert POD["enableServiceLinks"] is False
    known = {f"ODESERVE_{name.upper()}" for name in Settings.model_fields}
    assert ENVIRONMENT.keys() <= known


def test_a_replica_has_as_many_solver_threads_as_cores_which_are_its_own():
    asked = ENVIRONMENT["ODESERVE_SHARDS"]["valueFrom"]["resourceFieldRef"]
    assert asked == {"containerName": CONTAINER["name"], "resource": "limits.cpu"}
    limits, requests = CONTAINER["resources"]["limits"], CONTAINER["resources"]["requests"]
    assert limits["cpu"] == requests["cpu"] == str(math.ceil(float(limits["cpu"])))


def test_a_container_may_do_no_more_than_it_must():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 0
    assert POD["automountServiceAccountToken"] is False
    confined = CONTAINER["securityContext"]
    assert confined["readOnlyRootFilesystem"] is True
    assert confined["allowPrivilegeEscalation"] is False
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert [volume["mountPath"] for volume in CONTAINER["volumeMounts"]] == ["/tmp"]


def test_what_selects_selects_the_pods():
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("Service", "odeserve-replicas")["spec"]["selector"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    target = the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", the("Deployment")["metadata"]["name"])


def test_a_node_can_be_emptied_however_few_replicas_there_are():
    autoscaler = the("HorizontalPodAutoscaler")["spec"]
    assert (
        0 < the("PodDisruptionBudget")["spec"]["minAvailable"] < autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    )
    # An autoscaler by share of what is asked for needs something to be asked for.
    assert {metric["resource"]["name"] for metric in autoscaler["metrics"]} <= CONTAINER["resources"]["requests"].keys()
    assert "replicas" not in the("Deployment")["spec"]
