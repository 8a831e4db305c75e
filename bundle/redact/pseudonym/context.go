package pseudonym

import "bytes"

// context is what a word says about the one behind it.
type context uint8

const (
	lookupContext context = iota + 1 // lookup NAME on 10.0.0.10:53
	dialContext                      // dial tcp NAME:80
	homeContext                      // /home/USER/
	searchContext                    // search DOMAIN DOMAIN
	nameContext                      // DNS:NAME
	hostContext                      // hostname=NAME
)

func contexts() map[string]context {
	return map[string]context{"lookup": lookupContext, "tcp": dialContext, "udp": dialContext, "tcp4": dialContext, "tcp6": dialContext,
		"home": homeContext, "users": homeContext, "search": searchContext, "domain": searchContext, "nameserver": searchContext,
		"dns": nameContext, "host": hostContext, "hostname": hostContext, "nodename": hostContext}
}

// inContext maps what the word src[i:j] announces; 0 if it announces nothing.
func (s *scan) inContext(c context, i, j int) int {
	src := s.src
	if j+1 >= len(src) {
		return 0
	}
	next := src[j]
	switch c {
	case lookupContext:
		end := s.nameEnd(j + 1)
		if next == ' ' && (hasPrefixAt(src, end, " on ") || hasPrefixAt(src, end, ": ") && bytes.IndexByte(src[j:end], '.') > 0) {
			return s.host(j+1, end, true)
		}
	case dialContext:
		end := s.nameEnd(j + 1)
		if next == ' ' && i >= 5 && string(src[i-5:i]) == "dial " && end+1 < len(src) && src[end] == ':' && class[src[end+1]]&digit != 0 {
			return s.host(j+1, end, true)
		}
	case homeContext:
		if next == '/' && i > 0 && src[i-1] == '/' {
			return s.user(j+1, s.mailPart(j+1))
		}
	case searchContext:
		if (next == ' ' || next == '\t') && (i == 0 || src[i-1] == '\n') {
			return s.domains(j)
		}
	case nameContext:
		if next == ':' {
			return s.host(j+1, s.nameEnd(j+1), false)
		}
	case hostContext:
		if next == '=' {
			k := j + 1
			for k < len(src) && (src[k] == '"' || src[k] == '\\' || src[k] == '\'') {
				k++
			}
			return s.host(k, s.nameEnd(k), true)
		}
	}
	return 0
}

func hasPrefixAt(src []byte, i int, prefix string) bool {
	return i <= len(src) && bytes.HasPrefix(src[i:], []byte(prefix))
}

// nameEnd says where the DNS name at src[i:] ends.
func (s *scan) nameEnd(i int) int {
	j := i
	for j < len(s.src) && j-i <= maxNameLength && (class[s.src[j]]&alnum != 0 || s.src[j] == '.' || s.src[j] == '-' || s.src[j] == '_' || s.src[j] == '*') {
		j++
	}
	for j > i && (s.src[j-1] == '.' || s.src[j-1] == '-') {
		j--
	}
	return j
}

func (s *scan) mailPart(i int) int {
	j := i
	for j < len(s.src) && j-i <= maxNameLength && class[s.src[j]]&inMail != 0 {
		j++
	}
	return j
}

// host maps src[i:j], which stands where a host does, unless it is an address
// or a word. 0 if nothing was mapped.
func (s *scan) host(i, j int, words bool) int {
	name := s.src[i:min(j, len(s.src))]
	if len(name) == 0 || len(name) > maxNameLength || isNumeric(name) {
		return 0
	}
	single := bytes.IndexByte(name, '.') < 0
	if single && (s.m.isWholeToken(name) || len(name) >= 32 || words && s.m.words.ordinary(appendLower(nil, name)) && s.m.dict.exact(name) == nil) {
		return 0
	}
	before := len(s.dst)
	out := s.m.Host(s.put(i), name)
	if bytes.HasSuffix(out[before:], name) {
		s.dst = out[:before]
		return j
	}
	s.hosts++
	return s.set(out, j)
}

// isNumeric says whether a name has no letters: an address, a version.
func isNumeric(name []byte) bool {
	for _, c := range name {
		if class[c]&(letter|hexLetter) != 0 {
			return false
		}
	}
	return true
}

// user maps src[i:j], the name of a user.
func (s *scan) user(i, j int) int {
	if i >= j {
		return 0
	}
	before := len(s.dst)
	out := s.m.Name(s.put(i), KindUser, s.src[i:j])
	if bytes.HasSuffix(out[before:], s.src[i:j]) {
		s.dst = out[:before]
		return j
	}
	s.users++
	return s.set(out, j)
}

// domains maps the rest of a line of resolv.conf.
func (s *scan) domains(j int) int {
	for j < len(s.src) && (s.src[j] == ' ' || s.src[j] == '\t') {
		i := j
		for i < len(s.src) && (s.src[i] == ' ' || s.src[i] == '\t') {
			i++
		}
		end := s.nameEnd(i)
		if end == i || bytes.IndexByte(s.src[i:end], '.') < 0 || isNumeric(s.src[i:end]) || s.host(i, end, true) == 0 {
			return j
		}
		j = end
		if j < len(s.src) && s.src[j] == '.' {
			j++
		}
	}
	return j
}

// dotted looks at the mail address or the host that begins with src[i:j].
func (s *scan) dotted(i, j int) int {
	src := s.src
	if i < s.chunkEnd && i < s.mailEnd {
		return 0
	}
	end, dots := j, 0
	for end < len(src) {
		if c := src[end]; class[c]&alnum == 0 && c != '-' {
			if c != '.' || src[end-1] == '.' {
				break
			}
			dots++
		}
		end++
	}
	if end < len(src) && i >= s.mailEnd && !s.back && (src[end] == '@' || class[src[end]]&inMail != 0) {
		if to := s.mailFrom(i, end); to > 0 {
			return to
		}
	}
	s.mailEnd = max(s.mailEnd, end)
	if i < s.chunkEnd {
		return 0
	}
	s.chunkEnd = end
	for end > i && (src[end-1] == '.' || src[end-1] == '-') {
		if src[end-1] == '.' {
			dots--
		}
		end--
	}
	if dots == 0 || end-i > maxNameLength {
		return 0
	}
	name := src[i:end]
	if s.back {
		if out, ok := s.m.reverse(s.put(i), name, true); ok {
			return s.set(out, end)
		}
		return 0
	}
	if !s.m.looksLikeHost(name) {
		stem := fileStem(name)
		if stem == nil || !s.m.looksLikeHost(stem) {
			return 0
		}
		end = i + len(stem)
	}
	if to := s.host(i, end, true); to > 0 {
		return to
	}
	return end
}

// mailFrom maps the mail address that begins at src[i] and goes on at end.
func (s *scan) mailFrom(i, end int) int {
	for end < len(s.src) && class[s.src[end]]&inMail != 0 {
		end++
	}
	s.mailEnd = end
	if end+1 < len(s.src) && s.src[end] == '@' && end-i <= 64 {
		return s.mail(i, end)
	}
	return 0
}

// fileStem returns what a certificate or a configuration for a host is called
// without its last part, nil if it is no such file.
func fileStem(name []byte) []byte {
	dot := bytes.LastIndexByte(name, '.')
	switch string(name[dot+1:]) {
	case "crt", "key", "pem", "cert", "cer", "csr", "conf", "log", "json", "yaml", "yml", "ndjson", "txt", "cfg", "zone":
		return name[:dot]
	}
	return nil
}

// mail maps a mail address whose local part is src[i:at].
func (s *scan) mail(i, at int) int {
	end := s.nameEnd(at + 1)
	host := s.src[at+1 : end]
	if _, quad := parseQuad(s.src, at+1); quad != end || quad == 0 {
		if e := s.m.dict.exact(host); !s.m.looksLikeHost(host) && (e == nil || e.kind != KindNode && e.kind != KindHost) {
			return 0
		}
	}
	s.mails++
	s.set(s.m.Name(s.put(i), KindUser, s.src[i:at]), at)
	return s.set(s.m.Host(append(s.dst, '@'), host), end)
}

// authority maps the user and the host of the URL whose "://" is at src[i].
func (s *scan) authority(i int) int {
	from := i
	for from > 0 && i-from < 12 && class[s.src[from-1]]&alnum != 0 {
		from--
	}
	if !networkScheme(s.src[from:i]) {
		return i + 3
	}
	i += 3
	end, at := i, -1
	for end < len(s.src) && end-i < 512 && bytes.IndexByte([]byte("/?# \t\r\n\"'<>\\,;`)|"), s.src[end]) < 0 {
		if s.src[end] == '@' {
			at = end
		}
		end++
	}
	if at >= 0 {
		user := s.mailPart(i)
		if user > i && (s.src[user] == ':' || s.src[user] == '@') {
			s.user(i, user)
		}
		i = at + 1
	}
	if host := s.nameEnd(i); host > i && host <= end && (host == len(s.src) || s.src[host] != '$' && s.src[host] != '{' && s.src[host] != '%') {
		if to := s.host(i, host, false); to > 0 {
			return to
		}
	}
	return i
}

func networkScheme(b []byte) bool {
	switch string(b) {
	case "http", "https", "ws", "wss", "tcp", "udp", "tls", "ftp", "sftp", "ssh", "postgres", "postgresql", "mysql", "mariadb", "redis", "rediss",
		"amqp", "amqps", "mongodb", "srv", "nats", "kafka", "ldap", "ldaps", "smtp", "smtps", "imap", "grpc", "etcd", "dns", "s3", "gs", "git", "oci",
		"clickhouse", "cassandra", "memcached", "mqtt", "sip", "nfs", "rtsp", "syslog", "zk", "influx", "jdbc", "sqlserver", "oracle":
		return true
	}
	return false
}
