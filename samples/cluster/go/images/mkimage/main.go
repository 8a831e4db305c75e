// Command mkimage writes a docker-archive tar of a one-layer image made from local files; no registry, no daemon.
//
//	mkimage -o out.tar -t cf.local/pause:1 -entrypoint /pause bin/pause:/pause [src:dst ...] [dst->linktarget ...]
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"io"
	"log"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	out := flag.String("o", "", "output tar")
	tag := flag.String("t", "", "tag")
	ep := flag.String("entrypoint", "", "entrypoint, comma separated")
	env := flag.String("env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "env, comma separated")
	flag.Parse()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	dirs := map[string]bool{}
	mkdir := func(p string) {
		var need []string
		for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
			if !dirs[d] {
				need = append(need, d)
				dirs[d] = true
			}
		}
		sort.Strings(need)
		for _, d := range need {
			must(tw.WriteHeader(&tar.Header{Name: strings.TrimPrefix(d, "/") + "/", Mode: 0o755, Typeflag: tar.TypeDir}))
		}
	}
	mkdir("/tmp/x")
	mkdir("/etc/x")
	for _, a := range flag.Args() {
		if dst, target, ok := strings.Cut(a, "->"); ok {
			mkdir(dst)
			must(tw.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dst, "/"), Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink}))
			continue
		}
		src, dst, _ := strings.Cut(a, ":")
		if dst == "" {
			dst = src
		}
		mkdir(dst)
		b, err := os.ReadFile(src)
		must(err)
		must(tw.WriteHeader(&tar.Header{Name: strings.TrimPrefix(dst, "/"), Mode: 0o755, Size: int64(len(b)), Typeflag: tar.TypeReg}))
		_, err = tw.Write(b)
		must(err)
	}
	must(tw.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	must(err)
	img, err := mutate.AppendLayers(empty.Image, layer)
	must(err)
	cf, err := img.ConfigFile()
	must(err)
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", "amd64"
	cf.Config = v1.Config{Entrypoint: strings.Split(*ep, ","), Env: strings.Split(*env, ",")}
	img, err = mutate.ConfigFile(img, cf)
	must(err)
	t, err := name.NewTag(*tag)
	must(err)
	must(tarball.WriteToFile(*out, t, img))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
