"""The internal Go structs of a pod spec: names and order of their fields, to print them as field errors do.

A field is `GoName`, or `GoName=jsonName` where the JSON name is not the Go name with a small first letter, followed by
its kind: nothing for a string, `?` for a pointer, `!` for a bool, `#` for a number, `[]Type` or `[]` for a slice,
`{}` for a map, `*Type` for a pointer to a struct, `.Type` for a struct.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from standin.interfaces import Json

_TYPES: Mapping[str, str] = MappingProxyType({
    "PodSpec": "Volumes[]Volume InitContainers[]Container Containers[]Container EphemeralContainers[]Container RestartPolicy "
    "TerminationGracePeriodSeconds? ActiveDeadlineSeconds? DNSPolicy=dnsPolicy NodeSelector{} ServiceAccountName "
    "AutomountServiceAccountToken? NodeName SecurityContext*PodSecurityContext ImagePullSecrets[]LocalObjectReference "
    "Hostname Subdomain SetHostnameAsFQDN? Affinity? SchedulerName Tolerations[]Toleration HostAliases[] "
    "PriorityClassName Priority? PreemptionPolicy? DNSConfig=dnsConfig? ReadinessGates[] RuntimeClassName? Overhead{} "
    "EnableServiceLinks? TopologySpreadConstraints[] OS=os? SchedulingGates[]LocalObjectReference ResourceClaims[] Resources? "
    "HostnameOverride? SchedulingGroup?",
    "Container": "Name Image Command[] Args[] WorkingDir Ports[]ContainerPort EnvFrom[] Env[]EnvVar "
    "Resources.ResourceRequirements ResizePolicy[] RestartPolicy? RestartPolicyRules[] VolumeMounts[]VolumeMount "
    "VolumeDevices[] LivenessProbe? ReadinessProbe? StartupProbe? Lifecycle? TerminationMessagePath "
    "TerminationMessagePolicy ImagePullPolicy SecurityContext? Stdin! StdinOnce! TTY=tty!",
    "ContainerPort": "Name HostPort# ContainerPort# Protocol HostIP=hostIP",
    "EnvVar": "Name Value ValueFrom?",
    "ResourceRequirements": "Limits{} Requests{} Claims[]",
    "VolumeMount": "Name ReadOnly! RecursiveReadOnly? MountPath SubPath MountPropagation? SubPathExpr",
    "PodSecurityContext": "HostNetwork! HostPID=hostPID! HostIPC=hostIPC! ShareProcessNamespace? HostUsers? "
    "SELinuxOptions=seLinuxOptions? WindowsOptions? RunAsUser? RunAsGroup? RunAsNonRoot? SupplementalGroups[] "
    "SupplementalGroupsPolicy? FSGroup=fsGroup? FSGroupChangePolicy=fsGroupChangePolicy? Sysctls[] SeccompProfile? "
    "AppArmorProfile? SELinuxChangePolicy=seLinuxChangePolicy?",
    "LocalObjectReference": "Name",
    "Toleration": "Key Operator Value Effect TolerationSeconds?",
    "Volume": "Name HostPath? EmptyDir? GCEPersistentDisk=gcePersistentDisk? AWSElasticBlockStore=awsElasticBlockStore? "
    "GitRepo? Secret*SecretVolume NFS=nfs? ISCSI=iscsi? Glusterfs? PersistentVolumeClaim? RBD=rbd? Quobyte? FlexVolume? "
    "Cinder? CephFS=cephfs? Flocker? DownwardAPI? FC=fc? AzureFile? ConfigMap*ConfigMapVolume VsphereVolume? AzureDisk? "
    "PhotonPersistentDisk? Projected*Projected PortworxVolume? ScaleIO? StorageOS=storageos? CSI=csi? Ephemeral? Image?",
    "SecretVolume": "SecretName Items[]KeyToPath DefaultMode? Optional?",
    "ConfigMapVolume": "Name Items[]KeyToPath DefaultMode? Optional?",
    "Projected": "Sources[]Projection DefaultMode?",
    "Projection": "Secret*ObjectProjection DownwardAPI*DownwardAPIProjection ConfigMap*ObjectProjection "
    "ServiceAccountToken*TokenProjection ClusterTrustBundle? PodCertificate?",
    "ObjectProjection": "Name Items[]KeyToPath Optional?",
    "DownwardAPIProjection": "Items[]DownwardAPIFile",
    "DownwardAPIFile": "Path FieldRef*FieldRef ResourceFieldRef? Mode?",
    "FieldRef": "APIVersion=apiVersion FieldPath",
    "TokenProjection": "Audience ExpirationSeconds# Path",
    "KeyToPath": "Key Path Mode?",
})  # fmt: skip
_FIELD = re.compile(r"^(?P<go>\w+?)(?:=(?P<json>\w+?))?(?P<kind>\?|!|#|\{\}|\[\]\w*|[*.]\w+)?$")
_ZERO: Mapping[str, Any] = MappingProxyType({"": "", "!": False, "#": 0})


def render(type_name: str, value: Json) -> Json:
    """Return a struct's fields under their Go names, in order, with zero values for what is absent."""
    rendered: Json = {}
    for word in _TYPES[type_name].split():
        match = _FIELD.match(word)
        if match is None:
            raise ValueError(word)
        name = match["json"] or match["go"][0].lower() + match["go"][1:]
        rendered[match["go"]] = _field(match["kind"] or "", value.get(name))
    return rendered


def _field(kind: str, value: Any) -> Any:
    if kind.startswith("[]"):
        if not value:
            return None
        return [render(kind[2:], item) for item in value] if kind[2:] else value
    if kind[:1] == ".":
        return render(kind[1:], value or {})
    if kind[:1] == "*":
        return None if value is None else render(kind[1:], value)
    return _ZERO.get(kind) if value is None else value
