// A client of Kubernetes' container runtime interface (CRI, v1), for the checks of integration/containerd/run:
// the commands of a kubelet, one per call, named as those of crictl.
//
//	cri SOCKET runp POD.json [HANDLER]        cri SOCKET stopp|rmp POD
//	cri SOCKET create POD CONTAINER.json POD.json
//	cri SOCKET start|rm|status|logs CONTAINER  cri SOCKET stop CONTAINER SECONDS
//	cri SOCKET execsync CONTAINER COMMAND...   cri SOCKET exec|exec-t CONTAINER COMMAND...
//	cri SOCKET update CONTAINER LINUX.json     cri SOCKET stats CONTAINER
//	cri SOCKET ps|pods|info
//
// What a kubelet would read goes to standard output; the exit status is that of the executed command.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: cri SOCKET COMMAND [ARG...]"))
	}
	connection, err := grpc.Dial("unix://"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	status, err := command(ctx, cri.NewRuntimeServiceClient(connection), os.Args[2], os.Args[3:])
	if err != nil {
		fail(err)
	}
	os.Exit(status)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "cri:", err)
	os.Exit(125)
}

// command does one command; its result is the exit status.
func command(ctx context.Context, runtime cri.RuntimeServiceClient, name string, args []string) (int, error) {
	arg := func(n int) string {
		if n < len(args) {
			return args[n]
		}
		return ""
	}
	var err error
	switch name {
	case "info":
		var reply *cri.StatusResponse
		if reply, err = runtime.Status(ctx, &cri.StatusRequest{}); err == nil {
			for _, condition := range reply.Status.Conditions {
				fmt.Println(condition.Type, condition.Status)
			}
		}
	case "runp":
		var pod cri.PodSandboxConfig
		if err = read(arg(0), &pod); err != nil {
			break
		}
		var reply *cri.RunPodSandboxResponse
		if reply, err = runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: &pod, RuntimeHandler: arg(1)}); err == nil {
			fmt.Println(reply.PodSandboxId)
		}
	case "stopp":
		_, err = runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: arg(0)})
	case "rmp":
		_, err = runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: arg(0)})
	case "pods":
		var reply *cri.ListPodSandboxResponse
		if reply, err = runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err == nil {
			for _, pod := range reply.Items {
				fmt.Println(pod.Id, pod.Metadata.Name, pod.State)
			}
		}
	case "create":
		err = create(ctx, runtime, arg(0), arg(1), arg(2))
	case "start":
		_, err = runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: arg(0)})
	case "stop":
		var seconds int64
		if seconds, err = strconv.ParseInt(arg(1), 10, 64); err == nil {
			_, err = runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: arg(0), Timeout: seconds})
		}
	case "rm":
		_, err = runtime.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: arg(0)})
	case "ps":
		var reply *cri.ListContainersResponse
		if reply, err = runtime.ListContainers(ctx, &cri.ListContainersRequest{}); err == nil {
			for _, container := range reply.Containers {
				fmt.Println(container.Id, container.Metadata.Name, container.State)
			}
		}
	case "status":
		var state *cri.ContainerStatus
		if state, err = status(ctx, runtime, arg(0)); err == nil {
			fmt.Println(state.State, state.ExitCode, state.Reason)
		}
	case "logs":
		err = logs(ctx, runtime, arg(0))
	case "update":
		var resources cri.LinuxContainerResources
		if err = read(arg(1), &resources); err == nil {
			_, err = runtime.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{ContainerId: arg(0), Linux: &resources})
		}
	case "stats":
		var reply *cri.ContainerStatsResponse
		if reply, err = runtime.ContainerStats(ctx, &cri.ContainerStatsRequest{ContainerId: arg(0)}); err == nil {
			fmt.Println("cpu", reply.Stats.Cpu.UsageCoreNanoSeconds.Value, "memory", reply.Stats.Memory.WorkingSetBytes.Value)
		}
	case "execsync":
		var reply *cri.ExecSyncResponse
		request := &cri.ExecSyncRequest{ContainerId: arg(0), Cmd: args[1:], Timeout: 20}
		if reply, err = runtime.ExecSync(ctx, request); err == nil {
			os.Stdout.Write(reply.Stdout)
			os.Stderr.Write(reply.Stderr)
			return int(reply.ExitCode), nil
		}
	case "exec", "exec-t":
		tty := name == "exec-t"
		var reply *cri.ExecResponse
		request := &cri.ExecRequest{ContainerId: arg(0), Cmd: args[1:], Tty: tty, Stdin: tty, Stdout: true, Stderr: !tty}
		if reply, err = runtime.Exec(ctx, request); err == nil {
			return stream(reply.Url)
		}
	default:
		err = fmt.Errorf("no command %q", name)
	}
	return 0, err
}

func create(ctx context.Context, runtime cri.RuntimeServiceClient, pod, containerFile, podFile string) error {
	var config cri.ContainerConfig
	var sandbox cri.PodSandboxConfig
	if err := read(containerFile, &config); err != nil {
		return err
	}
	if err := read(podFile, &sandbox); err != nil {
		return err
	}
	request := &cri.CreateContainerRequest{PodSandboxId: pod, Config: &config, SandboxConfig: &sandbox}
	reply, err := runtime.CreateContainer(ctx, request)
	if err == nil {
		fmt.Println(reply.ContainerId)
	}
	return err
}

func status(ctx context.Context, runtime cri.RuntimeServiceClient, id string) (*cri.ContainerStatus, error) {
	reply, err := runtime.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		return nil, err
	}
	return reply.Status, nil
}

// logs prints the messages of the log: "TIME STREAM F MESSAGE" on each line.
func logs(ctx context.Context, runtime cri.RuntimeServiceClient, id string) error {
	state, err := status(ctx, runtime, id)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(state.LogPath)
	if err != nil {
		return err
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if fields := strings.SplitN(line, " ", 4); len(fields) == 4 {
			fmt.Println(fields[1], fields[3])
		}
	}
	return nil
}

// stream copies what an executed command writes, and finds out its exit status: over a websocket, each
// message starts with the number of its channel (1 output, 2 error output, 3 how it ended).
func stream(url string) (int, error) {
	config, err := websocket.NewConfig(strings.Replace(url, "http://", "ws://", 1), url)
	if err != nil {
		return 0, err
	}
	config.Protocol = []string{"v4.channel.k8s.io"}
	socket, err := websocket.DialConfig(config)
	if err != nil {
		return 0, err
	}
	var ended struct {
		Status, Message string
		Details         struct {
			Causes []struct{ Reason, Message string }
		}
	}
	for {
		var message []byte
		if err := websocket.Message.Receive(socket, &message); err != nil {
			break
		}
		if len(message) < 2 {
			continue
		}
		switch message[0] {
		case 1:
			os.Stdout.Write(message[1:])
		case 2:
			os.Stderr.Write(message[1:])
		case 3:
			if err := json.Unmarshal(message[1:], &ended); err != nil {
				return 0, err
			}
		}
	}
	for _, cause := range ended.Details.Causes {
		if cause.Reason == "ExitCode" {
			return strconv.Atoi(cause.Message)
		}
	}
	if ended.Status != "Success" {
		return 0, fmt.Errorf("exec: %s %s", ended.Status, ended.Message)
	}
	return 0, nil
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
