package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/launch"
	"github.com/casefile-io/casefile/collector/cluster/launch/image"
)

func agentCommand() *cli.Command {
	return &cli.Command{
		Name:            "agent",
		Usage:           "the program that collect runs on nodes: its image, and cleaning up after it",
		HideHelpCommand: true,
		Action:          noSubVerb,
		Subcommands: []*cli.Command{
			{
				Name: "image", Usage: "the agent's container image", HideHelpCommand: true, Action: noSubVerb,
				Subcommands: []*cli.Command{{
					Name: "save", Usage: "write the image as a tar, for linux/amd64 and arm64", ArgsUsage: " ",
					Description: `Load it on the nodes, where images cannot be pulled from a registry:
   ctr -n k8s.io images import FILE      containerd
   podman load -i FILE                   CRI-O
   docker load -i FILE                   docker`,
					Flags: []cli.Flag{
						&cli.StringFlag{Name: "o", Aliases: []string{"output"}, Usage: "write `FILE`, - is stdout"},
						&cli.StringFlag{Name: "name", Usage: "`NAME:TAG` of the image (default " + defaultAgentImage() + ")"},
					},
					Action: agentImageSave,
				}},
			},
			{
				Name: "cleanup", Usage: "remove what a killed run left in the cluster", ArgsUsage: " ",
				Description: `Agents end by themselves within two minutes after their command line has gone. This
removes them at once, and those that are bound to a dead kubelet.`,
				Flags: append([]cli.Flag{
					&cli.StringFlag{Name: "agent-namespace", Value: "kube-system", Usage: "`NAMESPACE` to look in"},
					&cli.BoolFlag{Name: "A", Usage: "look in all namespaces"},
				}, clusterFlags()...),
				Action: agentCleanup,
			},
		},
	}
}

func agentImageSave(c *cli.Context) (err error) {
	agents := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		b, err := agentBinary(arch)
		if err != nil {
			return err
		}
		agents[arch] = b
	}
	name := c.String("name")
	if name == "" {
		name = defaultAgentImage()
	}
	out := io.Writer(os.Stdout)
	if o := c.String("o"); o == "" {
		return usagef("agent image save needs -o FILE, or -o - for stdout")
	} else if o != "-" {
		f, err := os.Create(o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	} else if isTerminal(os.Stdout) {
		return usagef("-o - would print a tar on the terminal: send it to a file or a pipe")
	}
	if err := image.Save(out, name, agents); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s\n", name)
	return nil
}

func agentCleanup(c *cli.Context) error {
	config, _, err := cluster.LoadConfig(configFlags(c))
	if err != nil {
		return err
	}
	l, err := launch.New(config, launch.Options{Namespace: c.String("agent-namespace")})
	if err != nil {
		return err
	}
	gone, err := l.Cleanup(c.Context, launch.Filter{AllNamespaces: c.Bool("A")})
	for _, name := range gone {
		fmt.Println(name)
	}
	if err == nil && len(gone) == 0 {
		fmt.Fprintln(os.Stderr, "nothing to remove")
	}
	return err
}
