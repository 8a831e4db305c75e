package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Alphabets of invented secrets.
const (
	digits   = "0123456789"
	lowers   = "abcdefghijklmnopqrstuvwxyz"
	uppers   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnum    = digits + lowers + uppers
	lowHex   = "0123456789abcdef"
	base64s  = alnum + "+/"
	urlSafe  = alnum + "-_"
	crypt64  = alnum + "./"
	specials = alnum + "!*^.,@#%+=_-?~" // in passwords
)

// kind is a kind of secret: how one is made, and where it stands. {S} in a
// context is the secret; a context that begins with a newline stands at the
// beginning of a line.
type kind struct {
	name     string
	make     func(*rand.Rand) string
	contexts []string
}

func from(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// like makes a value from a form: «n:alphabet» is n of its characters.
func like(form ...any) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		var b strings.Builder
		for i := 0; i < len(form); i++ {
			switch f := form[i].(type) {
			case string:
				b.WriteString(f)
			case int:
				i++
				b.WriteString(from(r, form[i].(string), f))
			}
		}
		return b.String()
	}
}

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", from(r, lowHex, 8), from(r, lowHex, 4), from(r, lowHex, 3), from(r, lowHex, 3), from(r, lowHex, 12))
}

func jwtLike(r *rand.Rand) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256","kid":"`+from(r, urlSafe, 20)+`"}`)) + "." +
		enc([]byte(`{"iss":"kubernetes/serviceaccount","sub":"system:serviceaccount:shop:web","jti":"`+uuid(r)+`"}`)) + "." + from(r, urlSafe, 86)
}

// keyBody is the inside of a PEM block.
func keyBody(r *rand.Rand) string {
	var lines []string
	for range 6 {
		lines = append(lines, from(r, base64s, 64))
	}
	return strings.Join(append(lines, from(r, base64s, 40)+"=="), "\n")
}

func pemContexts(label string) []string {
	begin, end := "-----BEGIN "+label+"-----\n", "\n-----END "+label+"-----\n"
	return []string{"\n" + begin + "{S}" + end, "\n  key: |\n" + begin + "{S}" + end, "wrote " + begin + "{S}" + end}
}

func password(r *rand.Rand) string {
	return from(r, uppers, 2) + from(r, specials, 12) + from(r, digits, 2) + from(r, lowers, 2)
}

func plainPassword(r *rand.Rand) string { return from(r, alnum, 14) + from(r, digits, 2) }

func phrase(r *rand.Rand) string {
	return from(r, lowers, 7) + " " + from(r, lowers, 6) + " " + from(r, digits, 5)
}

// kinds are the kinds of secrets of the corpus.
func kinds() []kind {
	return append(append(cloudKinds(), serviceKinds()...), append(systemKinds(), append(clusterKinds(), keyKinds()...)...)...)
}

func cloudKinds() []kind {
	return []kind{
		{"aws access key id", like("AKIA", 16, uppers+"234567"), []string{"using {S} for s3", "AWS_ACCESS_KEY_ID={S}", `"AccessKeyId": "{S}"`}},
		{"aws sts key id", like("ASIA", 16, uppers+"234567"), []string{"Credential={S}/20261121/eu-west-1/s3/aws4_request", "assumed {S}"}},
		{"aws secret key", like(40, base64s), []string{"AWS_SECRET_ACCESS_KEY={S}", "\naws_secret_access_key = {S}", `"SecretAccessKey": "{S}"`, "secret_key: {S}"}},
		{"aws session token", like("IQoJb3JpZ2luX2VjE", 180, base64s), []string{"got {S} from sts", "AWS_SESSION_TOKEN={S}", "X-Amz-Security-Token: {S}"}},
		{"s3 presigned url", like(64, lowHex), []string{"GET https://b.s3.eu-west-1.amazonaws.com/o?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900&X-Amz-Signature={S} 200",
			"https://b.s3.amazonaws.com/o?AWSAccessKeyId=x&Expires=1763730000&Signature={S}"}},
		{"gcp api key", like("AIza", 35, urlSafe), []string{"https://maps.example/api?key={S}&x=1", "key {S} rejected"}},
		{"gcp oauth token", like("ya29.", 80, urlSafe), []string{"bearer {S}", "access_token={S}"}},
		{"gcp client secret", like("GOCSPX-", 28, urlSafe), []string{"client_secret: {S}", "using {S}"}},
		{"gcp refresh token", like("1//0", 60, urlSafe), []string{"refresh {S} failed", `"refresh_token":"{S}"`}},
		{"azure storage key", like(76, base64s, "+ASt", 6, alnum, "=="), []string{"DefaultEndpointsProtocol=https;AccountName=st;AccountKey={S};EndpointSuffix=core.windows.net", "key1 {S}", "storage_key={S}"}},
		{"azure service bus", like(43, base64s, "="), []string{"Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={S};EntityPath=q", "AZURE_STORAGE_KEY={S}"}},
		{"azure sas", like(40, alnum, "%2B", 4, alnum, "%3D"), []string{"https://st.blob.core.windows.net/c/b?sv=2024-08-04&se=2026-11-22T00%3A00%3A00Z&sr=b&sp=r&sig={S}", "SharedAccessSignature sr=x&sig={S}&se=1"}},
		{"azure client secret", like(3, alnum, "8Q~", 34, alnum), []string{"login with {S} failed", "AZURE_CLIENT_SECRET={S}", `"clientSecret":"{S}"`}},
		{"digitalocean token", like("dop_v1_", 64, lowHex), []string{"doctl auth init -t {S}", "token {S}"}},
		{"cloudflare key", like(37, lowHex), []string{"X-Auth-Key: {S}", "CF_API_KEY={S}", "CLOUDFLARE_API_TOKEN={S}"}},
	}
}

func serviceKinds() []kind {
	return []kind{
		{"github pat", like("ghp_", 36, alnum), []string{"cloning with {S}", "https://{S}@github.com/a/b.git", "https://x-access-token:{S}@github.com/a/b"}},
		{"github fine-grained pat", like("github_pat_", 22, alnum, "_", 59, alnum), []string{"GITHUB_TOKEN={S}", "auth {S} ok"}},
		{"github app token", like("ghs_", 36, alnum), []string{"Authorization: token {S}", "installation {S}"}},
		{"gitlab pat", like("glpat-", 20, urlSafe), []string{"PRIVATE-TOKEN: {S}", "https://oauth2:{S}@gitlab.com/a/b.git", "runner {S}"}},
		{"gitlab runner", like("GR1348941", 20, urlSafe), []string{"register {S}", "--registration-token {S}"}},
		{"slack bot token", like("xoxb-", 12, digits, "-", 12, digits, "-", 24, alnum), []string{"posting with {S}", "SLACK_BOT={S}"}},
		{"slack app token", like("xapp-1-A", 10, uppers, "-", 13, digits, "-", 64, lowHex), []string{"socket {S} closed"}},
		{"slack webhook", like("T", 8, uppers, "/B", 10, uppers, "/", 24, alnum), []string{"POST https://hooks.slack.com/services/{S} 404", `slack_api_url: https://hooks.slack.com/services/{S}`}},
		{"discord webhook", like(18, digits, "/", 68, urlSafe), []string{"https://discord.com/api/webhooks/{S}"}},
		{"discord bot token", like("M", 23, alnum, ".", 6, urlSafe, ".", 38, urlSafe), []string{"gateway login {S}", "Authorization: Bot {S}"}},
		{"telegram bot token", like(10, digits, ":AA", 33, urlSafe), []string{"https://api.telegram.org/bot{S}/sendMessage", "bot {S} unauthorized"}},
		{"twilio auth token", like(32, lowHex), []string{"TWILIO_AUTH_TOKEN={S}", "curl -u ACdeadbeef:{S} https://api.twilio.com", `"authToken":"{S}"`}},
		{"sendgrid key", like("SG.", 22, urlSafe, ".", 43, urlSafe), []string{"smtp user apikey {S}", "SENDGRID_API_KEY={S}"}},
		{"mailgun key", like("key-", 32, lowHex), []string{"mg {S}", "curl --user 'api:{S}' https://api.mailgun.net"}},
		{"mailgun new key", like(32, lowHex, "-", 8, lowHex, "-", 8, lowHex), []string{"mailgun key {S}", "MAILGUN_API_KEY={S}"}},
		{"mailchimp key", like(32, lowHex, "-us12"), []string{"list with {S}"}},
		{"stripe key", like("sk_live_", 24, alnum), []string{"stripe {S}", "Stripe.apiKey = \"{S}\""}},
		{"stripe webhook secret", like("whsec_", 32, alnum), []string{"verify {S}"}},
		{"paypal braintree token", like("access_token$production$", 16, lowers+digits, "$", 32, lowHex), []string{"braintree {S}", "BT={S}"}},
		{"square token", like("sq0atp-", 22, urlSafe), []string{"square {S}"}},
		{"shopify token", like("shpat_", 32, lowHex), []string{"X-Shopify-Access-Token: {S}", "shop {S}"}},
		{"npm token", like("npm_", 36, alnum), []string{"//registry.npmjs.org/:_authToken={S}", "npm {S}"}},
		{"pypi token", like("pypi-AgEIcHlwaS5vcmc", 80, urlSafe), []string{"twine upload -u __token__ -p {S}", "upload {S}"}},
		{"docker hub token", like("dckr_pat_", 27, urlSafe), []string{"docker login -u me -p {S}", "hub {S}"}},
		{"openai key", like("sk-proj-", 74, urlSafe, "T3BlbkFJ", 74, urlSafe), []string{"Incorrect API key provided: {S}", "OPENAI={S}"}},
		{"anthropic key", like("sk-ant-api03-", 93, urlSafe, "AA"), []string{"x-api-key: {S}", "key {S}"}},
		{"hugging face token", like("hf_", 34, alnum), []string{"hub login {S}", "HF_TOKEN={S}"}},
		{"datadog api key", like(32, lowHex), []string{"DD_API_KEY={S}", "DD-API-KEY: {S}", "dd_app_key: {S}"}},
		{"new relic key", like("NRAK-", 27, uppers+digits), []string{"nr {S}"}},
		{"new relic license", like(36, lowHex, "NRAL"), []string{"license {S} is invalid", "NEW_RELIC_LICENSE_KEY={S}"}},
		{"grafana token", like("glsa_", 32, alnum, "_", 8, lowHex), []string{"grafana {S}", "Authorization: Bearer {S}"}},
		{"sentry dsn", like(32, lowHex), []string{"SENTRY_DSN=https://{S}@o123456.ingest.sentry.io/4501", "dsn https://0123456789abcdef0123456789abcdef:{S}@sentry.example/2"}},
		{"pagerduty key", like(32, lowHex), []string{"routing_key: {S}", `"service_key":"{S}"`, "pagerduty_integration_key={S}"}},
		{"terraform cloud token", like(14, alnum, ".atlasv1.", 67, alnum), []string{`credentials "app.terraform.io" { token = "{S}" }`, "tfe {S}"}},
		{"tailscale key", like("tskey-auth-", 12, alnum, "-", 32, alnum), []string{"tailscale up --authkey {S}", "ts {S}"}},
		{"atlassian token", like("ATATT3xF", 60, urlSafe, "=", 8, lowHex), []string{"jira {S}"}},
		{"databricks token", like("dapi", 32, lowHex), []string{"dbx {S}"}},
		{"linear key", like("lin_api_", 40, alnum), []string{"linear {S}"}},
	}
}

func systemKinds() []kind {
	return []kind{
		{"password assignment", password, []string{`password="{S}"`, "password: '{S}'", `"db_password": "{S}"`, `DB_PASS="{S}"`}},
		{"password plain", plainPassword, []string{"password={S}", "\npassword: {S}", "smtp_pass={S}", "DB_PASS={S}", "--password {S} --verbose", "<password>{S}</password>", "pwd={S};"}},
		{"passphrase", phrase, []string{`passphrase="{S}"`, "\npassphrase: {S}", "'passphrase' => '{S}'"}},
		{"database url", plainPassword, []string{"postgres://app:{S}@db.shop:5432/x?sslmode=require", "mysql://root:{S}@10.0.0.7/x", "mongodb+srv://u:{S}@c0.mongodb.net/x", "redis://:{S}@cache:6379/0", "rediss://default:{S}@cache:6380"}},
		{"broker url", plainPassword, []string{"amqp://user:{S}@rabbit:5672/vh", "amqps://u:{S}@mq", "nats://u:{S}@nats:4222", "kafka sasl.jaas.config=PlainLoginModule required username=\"u\" password=\"{S}\";"}},
		{"directory url", plainPassword, []string{"ldap://cn=admin,dc=x:{S}@ldap:389", "smtp://u:{S}@mail:587", "ftp://u:{S}@files/x", "etcd http://root:{S}@10.0.0.1:2379", "bindpw {S}", "ldapsearch -x -D cn=admin -w {S} -b dc=x"}},
		{"go dsn", plainPassword, []string{"root:{S}@tcp(db:3306)/shop?parseTime=true", "u:{S}@unix(/run/mysqld.sock)/x"}},
		{"keyword dsn", plainPassword, []string{"host=db port=5432 user=app password={S} dbname=x sslmode=disable", "Server=db;Database=x;User Id=sa;Password={S};Encrypt=true"}},
		{"jdbc url", plainPassword, []string{"jdbc:mysql://db:3306/x?user=u&password={S}&useSSL=false", "jdbc:sqlserver://db:1433;databaseName=x;user=sa;password={S};", "jdbc:oracle:thin:scott/{S}@//db:1521/x", "jdbc:postgresql://db/x?user=u&password={S}"}},
		{"netrc", plainPassword, []string{"\nmachine git.example login ci password {S}\n", "\nmachine git.example\n  login ci\n  password {S}\n", "\ndefault login anonymous password {S}"}},
		{"pgpass", plainPassword, []string{"\ndb.shop:5432:orders:app:{S}\n", "\n*:*:*:app:{S}\n"}},
		{"bcrypt hash", like("$2y$12$", 53, crypt64), []string{"\nadmin:{S}\n", "hash {S} does not match"}},
		{"apache hash", like("$apr1$", 8, crypt64, "$", 22, crypt64), []string{"\nadmin:{S}\n"}},
		{"sha512 crypt hash", like("$6$", 16, crypt64, "$", 86, crypt64), []string{"\nroot:{S}:19000:0:99999:7:::\n", "passwd: {S}", "useradd -p '{S}' ops"}},
		{"yescrypt hash", like("$y$j9T$", 22, crypt64, "$", 43, crypt64), []string{"\nops:{S}:20000:0:99999:7:::\n"}},
		{"argon2 hash", like("$argon2id$v=19$m=65536,t=3,p=4$", 22, base64s, "$", 43, base64s), []string{"stored {S}"}},
		{"postgres scram", like("SCRAM-SHA-256$4096:", 22, base64s, "==$", 43, base64s, "=:", 43, base64s, "="), []string{"ALTER ROLE app PASSWORD '{S}'", "rolpassword {S}"}},
		{"sql password", plainPassword, []string{"CREATE ROLE app LOGIN PASSWORD '{S}';", "ALTER USER 'app'@'%' IDENTIFIED BY '{S}';", "CREATE USER app IDENTIFIED WITH caching_sha2_password BY '{S}'"}},
		{"mysql option", plainPassword, []string{"mysql -h db -uroot -p{S} shop", "mysqldump --single-transaction -p{S} shop", "mysqladmin --password={S} ping"}},
		{"curl user", plainPassword, []string{"curl -u admin:{S} https://x/y", "curl -sk --user admin:{S} https://x", "curl -x http://p:3128 --proxy-user u:{S} https://x"}},
		{"sshpass", plainPassword, []string{"sshpass -p {S} ssh root@n1", "sshpass -p'{S}' scp a b"}},
		{"redis-cli", plainPassword, []string{"redis-cli -h cache -a {S} ping", "requirepass {S}", "masterauth {S}", "REDISCLI_AUTH={S} redis-cli ping"}},
		{"pgpassword", plainPassword, []string{"PGPASSWORD={S} psql -h db", "PGPASSWORD='{S}' pg_dump"}},
		{"openssl pass", plainPassword, []string{"openssl rsa -in k.pem -passin pass:{S}", "openssl pkcs12 -export -passout pass:{S} -out x.p12"}},
		{"ipmi password", plainPassword, []string{"ipmitool -I lanplus -H bmc -U admin -P {S} power status"}},
		{"chpasswd", plainPassword, []string{"echo root:{S} | chpasswd", "echo 'ops:{S}' | sudo chpasswd"}},
		{"cloud-init", plainPassword, []string{"\n#cloud-config\npassword: {S}\nssh_pwauth: true\n", "\n#cloud-config\nchpasswd:\n  expire: false\n  list: |\n    root:{S}\n    ops:{S}\n", "\nchpasswd:\n  users:\n    - {name: ops, password: {S}, type: text}\n", "\nusers:\n  - name: ops\n    plain_text_passwd: {S}\n"}},
		{"basic auth", func(r *rand.Rand) string {
			return base64.StdEncoding.EncodeToString([]byte("admin:" + plainPassword(r)))
		}, []string{"Authorization: Basic {S}", "sent Basic {S} to x", "map[Authorization:[Basic {S}] Accept:[*/*]]"}},
		{"bearer", like(48, urlSafe), []string{"Authorization: Bearer {S}", "curl -H 'Authorization: Bearer {S}' https://x", "map[Authorization:[Bearer {S}]]", "with bearer {S} now"}},
		{"digest auth", like(32, lowHex), []string{`Authorization: Digest username="u", realm="r", nonce="n", uri="/", response="{S}"`, `Proxy-Authorization: Digest response="{S}"`}},
		{"cookie", like(40, urlSafe), []string{"Cookie: theme=dark; session={S}", "\nSet-Cookie: sid={S}; Path=/; HttpOnly\n", `"cookie":"sid={S}"`}},
		{"x-api-key", like(40, alnum), []string{"X-Api-Key: {S}", "curl -H 'X-API-Key: {S}' https://x", "https://x/y?api_key={S}&z=1", "apikey={S}"}},
		{"snmp community", like(14, alnum), []string{"\nrocommunity {S} 10.0.0.0/8\n", "snmp-server community {S} RO", "snmpwalk -v2c -c {S} 10.0.0.1 system", "\ncom2sec notConfigUser default {S}\n", "\ntrap2sink 10.0.0.9 {S}\n"}},
		{"ipsec psk", like(24, alnum), []string{"\n10.0.0.1 10.0.0.2 : PSK \"{S}\"\n", "\n%any : PSK {S}\n", "\nuser : XAUTH \"{S}\"\n", "\nuser : EAP \"{S}\"\n"}},
		{"xfrm key", like("0x", 64, lowHex), []string{"\n\tauth-trunc hmac(sha256) {S} 128\n\tenc cbc(aes) {S}\n", "\n\taead rfc4106(gcm(aes)) {S} 128\n"}},
		{"dm-crypt key", like(64, lowHex), []string{"\nluks-1: 0 1046528 crypt aes-xts-plain64 {S} 0 8:3 4096\n"}},
		{"wpa psk", like(64, lowHex), []string{"\nnetwork={\n  ssid=\"x\"\n  psk={S}\n}\n", "wpa_passphrase={S}", "wifi-sec.psk={S}", `psk="{S}"`}},
		{"keepalived", like(8, alnum), []string{"\n  authentication {\n    auth_type PASS\n    auth_pass {S}\n  }\n"}},
		{"router password", plainPassword, []string{"\n neighbor 10.0.0.1 password {S}\n", "\nenable secret 5 {S}\n", "username ops privilege 15 secret 0 {S}"}},
		{"corefile password", plainPassword, []string{"\netcd {\n  credentials u {S}\n  password {S}\n}\n"}},
		{"spring property", plainPassword, []string{"spring.datasource.password={S}", "\nspring:\n  datasource:\n    password: {S}\n", "javax.net.ssl.keyStorePassword={S}"}},
		{"exception text", plainPassword, []string{`java.sql.SQLException: Access denied, url=jdbc:mysql://db/x?user=u&password={S}`, `Config{user='u', password='{S}', pool=5}`, "config: &{User:u Password:{S} Pool:5}"}},
	}
}

func clusterKinds() []kind {
	return []kind{
		{"service account token", jwtLike, []string{"Authorization: Bearer {S}", "token {S} rejected", "--token={S}", "\n  token: {S}\n"}},
		{"jwt", jwtLike, []string{"id {S} expired", "?id_token={S}&state=1"}},
		{"bootstrap token", like(6, lowers+digits, ".", 15, lowers+digits, "7"), []string{"kubeadm join 10.0.0.1:6443 --token {S} --discovery-token-ca-cert-hash sha256:00", "[bootstrap-token] Using token: {S}", "\n{S}   23h   2026-11-22T09:00:00Z   authentication,signing\n"}},
		{"kubeconfig key data", func(r *rand.Rand) string {
			return base64.StdEncoding.EncodeToString([]byte("-----BEGIN RSA PRIVATE KEY-----\n" + keyBody(r) + "\n-----END RSA PRIVATE KEY-----\n"))
		}, []string{"\n    client-key-data: {S}\n", "key {S} loaded"}},
		{"docker config auth", func(r *rand.Rand) string { return base64.StdEncoding.EncodeToString([]byte("bot:" + plainPassword(r))) },
			[]string{`{"auths":{"ghcr.io":{"auth":"{S}"}}}`, `"auth": "{S}"`}},
		{"dockerconfigjson", func(r *rand.Rand) string {
			return base64.StdEncoding.EncodeToString([]byte(`{"auths":{"ghcr.io":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("bot:"+plainPassword(r))) + `"}}}`))
		}, []string{".dockerconfigjson: {S}", "wrote {S}"}},
		{"vault token", like("hvs.CAES", 90, urlSafe), []string{"VAULT_TOKEN={S}", "vault login {S}", "lease for {S}"}},
		{"vault old token", like("s.", 24, alnum), []string{"X-Vault-Token: {S}", "VAULT_TOKEN={S}", "Initial Root Token: {S}"}},
		{"vault unseal key", like(43, base64s, "="), []string{"\nUnseal Key 1: {S}\n", "\nRecovery Key 3: {S}\n"}},
		{"vault approle", uuid, []string{"secret_id={S}", "\nSecretID:         {S}\n", `"secret_id": "{S}"`}},
		{"consul token", uuid, []string{"X-Consul-Token: {S}", "CONSUL_HTTP_TOKEN={S}", `"SecretID": "{S}"`}},
		{"nomad token", uuid, []string{"NOMAD_TOKEN={S}", "\nSecret ID    = {S}\n"}},
		{"helm release", func(r *rand.Rand) string {
			return base64.StdEncoding.EncodeToString(zipped(`{"name":"shop","config":{"adminPassword":"` + plainPassword(r) + `"},"chart":{"metadata":{"name":"shop"}}}`))
		}, []string{"release: {S}", "decoding {S} failed"}},
		{"sealed key", like(64, lowHex), []string{"encryption_key={S}", "masterKey: {S}", "hmac-key={S}"}},
		{"encryption config", like(43, base64s, "="), []string{"\nresources:\n- providers:\n  - aescbc:\n      keys:\n      - name: key1\n        secret: {S}\n"}},
		{"from-literal", plainPassword, []string{"kubectl create secret generic db --from-literal=pw={S}", `kubectl create secret generic db --from-literal "pw={S}"`}},
		{"etcdctl user", plainPassword, []string{"etcdctl --endpoints=https://10.0.0.1:2379 --user root:{S} get /x", "etcdctl --user=root:{S} del /x"}},
		{"helm set", plainPassword, []string{"helm upgrade x ./x --set auth.password={S} --wait", "helm install x --set-string auth.rootPassword={S},replicas=2"}},
	}
}

func keyKinds() []kind {
	list := []kind{
		{"age key", like("AGE-SECRET-KEY-1", 58, uppers+digits), []string{"\n# created: 2026\n{S}\n", "key {S}"}},
		{"minisign key", like("RWRTY0Iy", 204, base64s), []string{"\nuntrusted comment: minisign encrypted secret key\n{S}\n"}},
		{"wireguard private key", like(43, base64s, "="), []string{"\n[Interface]\nPrivateKey = {S}\nListenPort = 51820\n", "private key: {S}", "wg_private_key={S}"}},
		{"wireguard preshared key", like(43, base64s, "="), []string{"\n[Peer]\nPresharedKey = {S}\n", "preshared key: {S}"}},
		{"pkcs8 der", func(r *rand.Rand) string { return "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + from(r, base64s, 400) },
			[]string{"signing with {S}", `"key":"{S}"`}},
		{"pkcs1 der", func(r *rand.Rand) string { return "MIIEpAIBAAKCAQEA" + from(r, base64s, 400) }, []string{"rsa {S}"}},
		{"gcp service account", func(r *rand.Rand) string { return strings.ReplaceAll(keyBody(r), "\n", `\n`) },
			[]string{`{"type":"service_account","private_key_id":"0123","private_key":"-----BEGIN PRIVATE KEY-----\n{S}\n-----END PRIVATE KEY-----\n","client_email":"x@y.iam.gserviceaccount.com"}`}},
		{"laravel app key", func(r *rand.Rand) string { return base64.StdEncoding.EncodeToString([]byte(from(r, specials, 32))) }, []string{"APP_KEY=base64:{S}"}},
		{"hex signing key", func(r *rand.Rand) string { return hex.EncodeToString([]byte(from(r, specials, 32))) }, []string{"signing_key: {S}", "SIGNING-KEY={S}"}},
	}
	for _, label := range []string{"RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK", "DSA PRIVATE KEY"} {
		list = append(list, kind{"pem " + strings.ToLower(label), keyBody, pemContexts(label)})
	}
	return list
}
