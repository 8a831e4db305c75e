package redact

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// cleanLines are what logs, objects and the kernel say that is no secret. %…%
// are made anew for each line.
func cleanLines() []string {
	return []string{
		// klog and JSON logs of the components
		`I1121 09:00:00.%d6%    1234 kubelet.go:2406] "SyncLoop ADD" source="api" pods=["shop/web-%h10%-%l5%"]`,
		`I1121 09:00:00.%d6%       1 shared_informer.go:318] "Caches are synced" controller="bootstrap_signer"`,
		`I1121 09:00:00.%d6%       1 tokens_controller.go:99] "syncServiceAccount" serviceAccount="shop/default"`,
		`E1121 09:00:00.%d6%    1234 secret.go:189] Couldn't get secret shop/db-credentials: secret "db-credentials" not found`,
		`E1121 09:00:00.%d6%    1234 kuberuntime_manager.go:1274] "Unhandled Error" err="container app start failed in pod web-%h10%-%l5%_shop(%u%): CreateContainerConfigError: secret \"db-password\" not found"`,
		`W1121 09:00:00.%d6%       1 authentication.go:73] Unable to authenticate the request" err="[invalid bearer token, service account token has expired]"`,
		`I1121 09:00:00.%d6%       1 dynamic_cafile_content.go:160] "Starting controller" name="client-ca-bundle::/etc/kubernetes/pki/ca.crt,request-header::/etc/kubernetes/pki/front-proxy-ca.crt"`,
		`I1121 09:00:00.%d6%       1 serving.go:386] Generated self-signed cert (/var/run/kubernetes/kubelet.crt, /var/run/kubernetes/kubelet.key)`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --token-auth-file=""`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --authentication-token-webhook-cache-ttl="2m0s"`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --service-account-private-key-file="/etc/kubernetes/pki/sa.key"`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --concurrent-serviceaccount-token-syncs="5"`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --service-account-extend-token-expiration="true"`,
		`I1121 09:00:00.%d6%       1 flags.go:64] FLAG: --max-requests-inflight="400" --anonymous-auth="true" --enable-bootstrap-token-auth="true"`,
		`I1121 09:00:00.%d6%       1 httplog.go:132] "HTTP" verb="POST" URI="/api/v1/namespaces/shop/serviceaccounts/default/token" latency="4.%d3%ms" userAgent="kubelet/v1.34.0 (linux/amd64) kubernetes/%h7%" audit-ID="%u%" srcIP="10.0.%b%.%b%:%p%" apf_pl="system" apf_fs="system-nodes" resp=201`,
		`I1121 09:00:00.%d6%       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/secrets?limit=500&resourceVersion=%d6%" latency="2.%d3%ms" resp=200`,
		`I1121 09:00:00.%d6%       1 httplog.go:132] "HTTP" verb="GET" URI="/api/v1/namespaces/kube-system/secrets?fieldSelector=metadata.name%%3Dbootstrap-token-abc123&labelSelector=app+in+%%28a%%2Cb%%29" resp=200`,
		`{"level":"info","ts":"2026-11-21T09:00:00.%d6%Z","caller":"auth/store.go:1241","msg":"simple token is not cryptographically signed","member":"%h16%"}`,
		`{"level":"info","ts":"2026-11-21T09:00:00.%d6%Z","caller":"embed/etcd.go:380","msg":"starting an etcd server","auth-token":"simple","cipher-suites":[],"client-cert-auth":true,"quota-backend-bytes":2147483648}`,
		`{"level":"warn","ts":"2026-11-21T09:00:00.%d6%Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"%d3%.%d6%ms","prefix":"read-only range ","request":"key:\"/registry/secrets/shop/\" range_end:\"/registry/secrets/shop0\" limit:500 ","response":"range_response_count:3 size:%d4%"}`,
		`{"level":"info","ts":1763730000.%d6%,"logger":"cert-manager.controller","msg":"Certificate must be re-issued","key":"shop/tls","reason":"SecretMismatch","message":"Issuing certificate as Secret does not contain a private key"}`,
		`{"level":"error","ts":1763730000.%d6%,"msg":"Reconciler error","controller":"externalsecret","ExternalSecret":{"name":"db","namespace":"shop"},"error":"could not get secret data from provider: Secret does not exist"}`,
		`{"time":"2026-11-21T09:00:00.%d6%Z","id":"%l20%","remote_ip":"10.0.%b%.%b%","method":"GET","uri":"/api/v1/orders/%d6%?page=2&sort=-created","status":200,"latency_human":"%d2%ms","bytes_out":%d4%}`,
		`time="2026-11-21T09:00:00Z" level=info msg="PullImage \"ghcr.io/acme/token-service:v1.2.3\" returns image reference \"sha256:%h64%\""`,
		`time="2026-11-21T09:00:00.%d9%Z" level=info msg="StartContainer for \"%h64%\" returns successfully"`,
		`time="2026-11-21T09:00:00.%d9%Z" level=error msg="failed to handle event container_id:\"%h64%\" id:\"%h64%\" pid:%d4% exited_at:{seconds:1763730000 nanos:%d9%}"`,
		`[INFO] 10.244.%b%.%b%:%p% - %d5% "AAAA IN vault.secrets.svc.cluster.local. udp 55 false 512" NXDOMAIN qr,aa,rd 148 0.000%d6%s`,
		`[ERROR] plugin/errors: 2 token-service.shop.svc.cluster.local. A: read udp 10.244.%b%.%b%:%p%->10.96.0.10:53: i/o timeout`,
		`2026/11/21 09:00:00 [error] 31#31: *%d5% connect() failed (111: Connection refused) while connecting to upstream, client: 10.0.%b%.%b%, server: shop.example, request: "POST /oauth/token HTTP/1.1", upstream: "http://10.244.1.7:8080/oauth/token", host: "shop.example"`,
		`10.0.%b%.%b% - - [21/Nov/2026:09:00:00 +0000] "GET /static/js/main.%h8%.chunk.js HTTP/2.0" 200 %d5% "https://shop.example/login?next=%%2Fcart%%2Fitems" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36" %d3% 0.0%d2% [shop-web-80] [] 10.244.1.%b%:80 0 0.0%d2% 200 %h32%`,
		`10.0.%b%.%b% - jane [21/Nov/2026:09:00:00 +0000] "GET /search?q=red+shoes+size+42&page=%d2% HTTP/1.1" 200 %d5%`,
		// prose about secrets
		`your password must be changed before you can continue`, `token expired, please log in again`, `the password you entered is incorrect`, `Password authentication failed for user "app"`,
		`FATAL:  password authentication failed for user "app"`, `error: no password supplied`, `pam_unix(sshd:auth): authentication failure; user=root rhost=10.0.%b%.%b%`,
		`Failed password for root from 10.0.%b%.%b% port %p% ssh2`, `Accepted publickey for core from 10.0.%b%.%b% port %p% ssh2: ED25519 SHA256:%B43%`, `sudo: a password is required`,
		`secret "tls" is of type kubernetes.io/tls`, `Secrets are mounted at /var/run/secrets/kubernetes.io/serviceaccount`, `failed to refresh token: token has expired at 2026-11-21T09:00:00Z`,
		`tokens remaining: %d4%`, `rate limiter: 10 tokens per second, burst 20`, `unexpected token '<' at position %d3%`, `SyntaxError: Unexpected token } in JSON at position %d3%`, `parse error near token IDENT`,
		`--- PASS: TestRotate (0.0%d2%s)`, `all checks pass: 12 of 12`, `bypass=false compass=north`, `CSRF token missing or incorrect`, `error validating CSRF token`, `invalid_token: The access token is invalid`,
		`basic authentication is disabled`, `Basic health check succeeded`, `bearer plugs removed`, `cookie consent shown`, `credential helper not found`, `no credentials found for registry ghcr.io, using anonymous access`,
		`key=shop/web-%l5% value=%d4%`, `cache key: pods/shop/web-%l5%`, `primary key violation on orders_pkey`, `foreign key constraint fails`, `partition key hash %h8%`, `api key rotation scheduled`,
		`rotating secret encryption key: done`, `private key matches certificate`, `private key file /etc/ssl/private/server.key has mode 0600`, `SecretsManager endpoint resolved`,
		// Go, Java, Python traces
		`goroutine %d3% [running]:`, `main.(*tokenSource).Token(0xc000%h6%, {0x%h6%, 0xc000%h6%})`, `	/go/pkg/mod/golang.org/x/oauth2@v0.30.0/token.go:%d3% +0x%h3%`, `k8s.io/client-go/tools/auth.LoadFromFile(...)`,
		`github.com/acme/shop/internal/password.Hash(0xc000%h6%)`, `created by k8s.io/apimachinery/pkg/util/wait.(*Group).Start in goroutine %d2%`, `runtime.gopark(0x%h8%?, 0x%h6%?, 0x0?, 0x0?, 0x0?)`,
		`	at com.acme.security.PasswordEncoder.matches(PasswordEncoder.java:%d2%)`, `	at org.springframework.security.oauth2.TokenEndpoint.postAccessToken(TokenEndpoint.java:%d3%)`,
		`Caused by: java.sql.SQLInvalidAuthorizationSpecException: Access denied for user 'app'@'10.0.%b%.%b%' (using password: YES)`, `  File "/usr/lib/python3/dist-packages/keyring/credentials.py", line %d3%, in get_password`,
		`x=function(e,t){return e.password?t(e):null};var token=n(7);r.secret=void 0`,
		// identities and hashes
		`uid: %u%`, `resourceVersion: "%d6%"`, `containerID: containerd://%h64%`, `image: registry.example/shop/web@sha256:%h64%`, `commit %h40%`, `etag: W/"%h32%"`, `md5 %h32%  app.jar`, `sha256:%h64%`, `trace_id=%h32% span_id=%h16%`,
		`request-id: %u%`, `x-request-id=%u% traceparent=00-%h32%-%h16%-01`, `eventID web.18%h14%`, `ownerReferences: ReplicaSet/web-%h10%`, `pod-template-hash: %h10%`, `machine-id %h32%`, `boot_id: %u%`,
		`SHA256:%B43%`, `fingerprint: %c%`, `spiffe://cluster.local/ns/shop/sa/default`, `serial=%h32%`, `KeyID 0x%h16%`, `subject key identifier %c%`,
		// objects
		`  secretName: web-tls`, `    secretKeyRef:`, `      key: password`, `  tokenExpirationSeconds: 3607`, `  expirationSeconds: 3607`, `  automountServiceAccountToken: false`, `  passwordSecretRef:`, `  imagePullSecrets:`, `  - name: regcred`,
		`  serviceAccountToken:`, `  existingSecret: shop-db`, `  credentialsSecret: cloud-credentials`, `  tokenReview: enabled`, `  secretStoreRef:`, `  type: kubernetes.io/service-account-token`, `kubernetes.io/service-account.name: default`,
		`  writeConnectionSecretToRef:`, `  publishConnectionDetailsTo: {}`, `  apiTokenSecretRef: {name: dns, key: token}`, `volumes: [{name: kube-api-access-%l5%, projected: {sources: [{serviceAccountToken: {expirationSeconds: 3607, path: token}}]}}]`,
		`{"name":"token","mountPath":"/var/run/secrets/tokens","readOnly":true}`, `{"reason":"FailedMount","message":"MountVolume.SetUp failed for volume \"db-password\" : secret \"db-password\" not found"}`,
		`{"apiVersion":"rbac.authorization.k8s.io/v1","rules":[{"apiGroups":[""],"resources":["secrets","serviceaccounts/token"],"verbs":["get","create"]}]}`,
		`{"kind":"ExternalSecret","spec":{"secretStoreRef":{"name":"vault","kind":"ClusterSecretStore"},"target":{"name":"db"},"data":[{"secretKey":"password","remoteRef":{"key":"shop/db","property":"password"}}]}}`,
		`{"auth":{"secretRef":{"name":"x","key":"token"}},"tokenSecretRef":{"name":"y"},"passwordKey":"password","secretKeyRef":{"key":"api-key","name":"z"}}`,
		// kernel, node, metrics
		`kernel.keys.maxkeys = 200`, `net.ipv4.tcp_fastopen_key`, `net.ipv4.tcp_syncookies = 1`, `fs.protected_regular = 2`, `kernel.random.boot_id = %u%`, `net.ipv6.conf.all.use_tempaddr = 0`, `crypto.fips_enabled = 0`,
		`TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned`, `TcpExt: %d4% %d3% 0 0 0 %d5%`, `cf-n1 kernel: [ %d4%.%d6%] audit: type=1400 apparmor="DENIED" operation="open" profile="x" name="/proc/1/environ" pid=%d4%`,
		`systemd-ask-password-console.path - Dispatch Password Requests to Console Directory Watch`, `Reached target Local Encrypted Volumes.`, `pass(es) %d2% retransmits 0`, `sk_filter_trim_cap+0x%h2%/0x%h3%`,
		`apiserver_request_total{code="200",resource="secrets",verb="WATCH"} %d5%`, `authentication_token_cache_request_total{status="hit"} %d4%`, `serviceaccount_valid_tokens_total %d4%`, `rest_client_exec_plugin_ttl_seconds +Inf`,
		`etcd_server_apply_duration_seconds_bucket{op="Authenticate",success="true",version="v3",le="0.0001"} 0`, `apiserver_envelope_encryption_key_id_hash_total{key_id_hash="sha256:%h64%",provider_name="kms"} %d2%`,
		`kubelet_certificate_manager_client_ttl_seconds %d6%`, `process_start_time_seconds 1.76373e+09`, `workqueue_depth{name="token_cleaner"} 0`, `coredns_dns_requests_total{server="dns://:53",type="A",zone="."} %d5%`,
		`tcp 0 0 10.0.%b%.%b%:%p% 10.96.0.1:443 ESTABLISHED %d4%/kube-proxy`, `nf_conntrack: ipv4 2 tcp 6 %d5% ESTABLISHED src=10.0.%b%.%b% dst=10.96.0.10 sport=%p% dport=53 [ASSURED] mark=0 use=1`,
		`2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue state UP link/ether 02:42:aa:%h2%:%h2%:%h2%`, `neighbor 10.0.%b%.%b% lladdr 0a:58:aa:%h2%:00:01 STALE`, `bgp community 65000:100 local-pref 100`,
		`/usr/bin/kube-controller-manager --service-account-private-key-file=/etc/kubernetes/pki/sa.key --use-service-account-credentials=true --root-ca-file=/etc/kubernetes/pki/ca.crt`,
		`/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --rotate-certificates --container-runtime-endpoint=unix:///run/containerd/containerd.sock`,
		`curl -sS -o /dev/null -w '%%{http_code}' http://10.244.%b%.%b%:8080/healthz`, `mysql -u root -p -h db shop`, `psql -p 5432 -U app`, `ssh -p 2222 core@10.0.%b%.%b%`, `docker run -p 8080:80 nginx`, `mkdir -p /var/lib/app`, `tar -C /tmp -xzf a.tgz`,
		// encoded, but harmless
		`ca.crt: %C%`, `caBundle: %C%`, `payload %T%`, `state=%T%`, `data:image/png;base64,iVBORw0KGgo%B60%`, `-----BEGIN CERTIFICATE-----`, `MIID%B60%`, `%B64%`, `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI%B43% core@n1`, `-----BEGIN PUBLIC KEY-----`,
		`GET /a%%20b/c%%2Fd?x=%%7B%%22a%%22%%3A1%%7D 200`, `{"msg":"line one\nline two\n\tat x.y(Z.java:%d2%)","path":"C:\\Users\\jane"}`, `{"html":"\u003cdiv class=\"x\"\u003ehello \u0026 bye\u003c/div\u003e"}`,
	}
}

// filled replaces the marks of a clean line.
func filled(r *rand.Rand, line string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(line, "%")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		mark, after, _ := strings.Cut(rest, "%")
		line = after
		b.WriteString(mark1(r, mark))
	}
}

func mark1(r *rand.Rand, mark string) string {
	n := 0
	if len(mark) > 1 {
		_, _ = fmt.Sscanf(mark[1:], "%d", &n)
	}
	switch mark {
	case "":
		return "%"
	case "u":
		return uuid(r)
	case "b":
		return fmt.Sprint(r.IntN(256))
	case "p":
		return fmt.Sprint(30000 + r.IntN(30000))
	case "c":
		var parts []string
		for range 20 {
			parts = append(parts, from(r, uppers[:6]+digits, 2))
		}
		return strings.Join(parts, ":")
	case "C":
		return base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nMIID" + from(r, base64s, 60) + "\n" + from(r, base64s, 64) + "\n-----END CERTIFICATE-----\n"))
	case "T":
		return base64.StdEncoding.EncodeToString([]byte(`{"page":2,"sort":"name","filter":["` + from(r, lowers, 12) + `"],"cursor":` + from(r, digits, 8) + `}`))
	}
	return from(r, map[byte]string{'d': digits, 'h': lowHex, 'l': lowers + digits, 'B': base64s}[mark[0]], n)
}

// TestPrecision: hardly anything of a clean corpus is masked.
func TestPrecision(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	red := newRedactor(t, "")
	lines, masked := 0, 0
	shown := map[string]bool{}
	check := func(path, template, in string) {
		lines++
		out, err := io.ReadAll(red.Reader(path, strings.NewReader(in)))
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != in {
			masked++
			if !shown[template] {
				shown[template] = true
				t.Logf("%s\n in  %s out %s", path, in, out)
			}
		}
	}
	for range 20 {
		for _, template := range cleanLines() {
			line := filled(r, template)
			check(logPath, template, line+"\n")
			check(eventsPath, template, `{"kind":"Event","message":"`+quotedJSON(line)+`"}`+"\n")
		}
	}
	precision := 100 * float64(lines-masked) / float64(lines)
	t.Logf("%d clean lines, %d masked: %.2f %% stay", lines, masked, precision)
	if precision < 98 {
		t.Error("too many false masks")
	}
}

// TestBundleStays redacts the files of an unpacked bundle again, in the folder
// CASEFILE_CLEAN: rules that are new mask nothing in it.
func TestBundleStays(t *testing.T) {
	dir := os.Getenv("CASEFILE_CLEAN")
	if dir == "" {
		t.Skip("CASEFILE_CLEAN names no folder")
	}
	red := newRedactor(t, "")
	root := os.DirFS(dir)
	files, lines, differ := 0, 0, 0
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".pcapng") {
			return err
		}
		in, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		out, err := io.ReadAll(red.Reader(path, bytes.NewReader(in)))
		if err != nil {
			return err
		}
		files++
		before, after := bytes.Split(in, []byte("\n")), bytes.Split(out, []byte("\n"))
		lines += len(before)
		for i := range min(len(before), len(after)) {
			if !bytes.Equal(before[i], after[i]) {
				if differ++; differ < 60 {
					n := 0
					for n < min(len(before[i]), len(after[i])) && before[i][n] == after[i][n] {
						n++
					}
					t.Logf("%s:%d\n in  …%.160s\n out …%.160s", path, i+1, before[i][max(0, n-60):], after[i][max(0, n-60):])
				}
			}
		}
		return nil
	})
	t.Logf("%d files, %d lines, %d differ", files, lines, differ)
	if err != nil || files == 0 || differ*1000 > lines {
		t.Errorf("too many lines of a redacted bundle are masked again, or none was read: %v", err)
	}
}
