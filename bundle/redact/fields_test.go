package redact

import (
	"strings"
	"testing"
)

// TestFields: what objects of well-known types hold in plain is masked, also
// where its name says nothing; references stay.
func TestFields(t *testing.T) {
	for _, c := range []struct{ name, in, kept string }{
		{"external secret", `{"apiVersion":"external-secrets.io/v1","kind":"ExternalSecret","spec":{"target":{"template":{"data":{"url":"S"}}},"data":[{"secretKey":"password","remoteRef":{"key":"shop/db","property":"token"}}],"secretStoreRef":{"name":"vault"}}}`,
			`"data":[{"secretKey":"password","remoteRef":{"key":"shop/db","property":"token"}}],"secretStoreRef":{"name":"vault"}`},
		{"kind comes last", `{"spec":{"provider":{"fake":{"data":[{"key":"k","value":"S"}]}}},"kind":"SecretStore","apiVersion":"external-secrets.io/v1beta1"}`, `"key":"k"`},
		{"in a list", `{"kind":"List","apiVersion":"v1","items":[{"apiVersion":"notification.toolkit.fluxcd.io/v1","kind":"Provider","spec":{"type":"slack","address":"S"}}]}`, `"type":"slack"`},
		{"sealed secret", `{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","spec":{"encryptedData":{"password":"AgBy3i4OJSWK"},"template":{"data":{"x":"S"}}}}`, `"encryptedData":{"password":"AgBy3i4OJSWK"}`},
		{"acme challenge", `{"apiVersion":"acme.cert-manager.io/v1","kind":"Challenge","spec":{"token":"S","key":"S","dnsName":"shop.example"}}`, `"dnsName":"shop.example"`},
		{"alertmanager", `{"apiVersion":"monitoring.coreos.com/v1alpha1","kind":"AlertmanagerConfig","spec":{"receivers":[{"name":"r","webhookConfigs":[{"url":"S"}],"pagerdutyConfigs":[{"routingKey":{"name":"s","key":"k"}}]}]}}`, `"routingKey":{"name":"s","key":"k"}`},
		{"envoy filter", `{"apiVersion":"networking.istio.io/v1alpha3","kind":"EnvoyFilter","spec":{"configPatches":[{"patch":{"value":{"typed_config":{"hmac":{"inline_string":"S"},"cluster":"oauth"}}}}]}}`, `"cluster":"oauth"`},
		{"crossplane", `{"apiVersion":"rds.aws.crossplane.io/v1alpha1","kind":"DBInstance","spec":{"writeConnectionSecretToRef":{"name":"db","namespace":"shop"},"forProvider":{"masterUserPassword":"S","region":"eu"}}}`, `"writeConnectionSecretToRef":{"name":"db","namespace":"shop"}`},
		{"argo cd repository", `{"apiVersion":"argoproj.io/v1beta1","kind":"ArgoCD","spec":{"repositoryCredentials":"- url: S","server":{"host":"x"}}}`, `"host":"x"`},
		{"flux substitutes", `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","spec":{"postBuild":{"substitute":{"a":"S"},"substituteFrom":[{"kind":"Secret","name":"v"}]}}}`, `"substituteFrom":[{"kind":"Secret","name":"v"}]`},
		{"cluster api files", `{"apiVersion":"bootstrap.cluster.x-k8s.io/v1beta1","kind":"KubeadmConfig","spec":{"files":[{"path":"/etc/x","content":"S"}]}}`, `"path":"/etc/x"`},
		{"keycloak user", `{"apiVersion":"k8s.keycloak.org/v2alpha1","kind":"KeycloakRealmImport","spec":{"realm":{"users":[{"username":"u","credentials":[{"type":"password","value":"S"}]}]}}}`, `"username":"u"`},
		{"virtual machine", `{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachine","spec":{"template":{"spec":{"volumes":[{"name":"ci","cloudInitNoCloud":{"userData":"S"}}]}}}}`, `"name":"ci"`},
		{"custom resource definition", `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","spec":{"versions":[{"schema":{"openAPIV3Schema":{"properties":{"password":{"type":"string","format":"password"}},"required":["password"]}}}]}}`, `{"password":{"type":"string","format":"password"}},"required":["password"]`},
		{"webhook", `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","webhooks":[{"clientConfig":{"caBundle":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUQ=","service":{"name":"x"}}}]}`, `"caBundle":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUQ="`},
		{"references", `{"apiVersion":"x.example/v1","kind":"X","spec":{"passwordSecretRef":{"name":"s","key":"password"},"secretKeyRef":{"name":"s","key":"token"},"imagePullSecret":"regcred","existingSecret":"db"}}`,
			`{"passwordSecretRef":{"name":"s","key":"password"},"secretKeyRef":{"name":"s","key":"token"},"imagePullSecret":"regcred","existingSecret":"db"}`},
		{"other group", `{"apiVersion":"other.example/v1","kind":"Provider","spec":{"address":"10.0.0.1"}}`, `"address":"10.0.0.1"`},
	} {
		in := strings.ReplaceAll(c.in, `"S"`, `"`+planted+`"`)
		in = strings.ReplaceAll(in, ` S"`, ` `+planted+`"`)
		got := redacted(t, crPath, in+"\n")
		if strings.Contains(got, planted) || !strings.Contains(got, c.kept) {
			t.Errorf("%s:\n in  %s\n got %s", c.name, in, got)
		}
		if again := redacted(t, crPath, got); again != got {
			t.Errorf("%s: not idempotent: %s", c.name, again)
		}
	}
}
