using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Tokencache.Testing;

/// <summary>A real server of this test's own, on a port of loopback, that keeps nothing.</summary>
public sealed class RedisServer : IDisposable
{
    private Process? _process;
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("tokencache-redis-");

    public RedisServer()
    {
        if (!IsInstalled)
        {
            return;
        }
        // Between the search for a port and the server's use of it somebody else may take it.
        for (int more = 4; _process is null; more--)
        {
            Port = FreePort();
            try
            {
                Start();
            }
            catch (InvalidOperationException) when (more > 0)
            {
                Stop();
            }
        }
    }

    public static bool IsInstalled { get; } = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty)
        .Split(Path.PathSeparator)
        .Any(folder => File.Exists(Path.Combine(folder, "redis-server")));

    public int Port { get; private set; }

    public string Address => $"127.0.0.1:{Port}";

    /// <summary>A document with L2 here, with much patience for a machine that has much to do, and for a silent server.</summary>
    public string Document(string prefix, string more = "", int heartbeatMs = 1000) =>
        $$$"""
        {"version": 1, "l2": {"kind": "redis", "url": "redis://{{{Address}}}/0", "key_prefix": "{{{prefix}}}"},
         "encryption": {"algorithm": "none"}, "logging": {"to": "none"},
         "coherence": {"heartbeat_ms": {{{heartbeatMs}}}, "heartbeat_timeout_ms": 60000},
         "resilience": {"deadline_ms": 60000}{{{more}}}}
        """;

    /// <summary>Starts it, empty, where it was.</summary>
    public void Start()
    {
        string[] arguments =
        [
            "--bind", "127.0.0.1", "--port", $"{Port}", "--save", string.Empty, "--appendonly", "no",
            "--dir", _folder.FullName, "--logfile", "redis.log",
        ];
        _process = Process.Start(new ProcessStartInfo("redis-server", arguments))!;
        Stopwatch waited = Stopwatch.StartNew();
        while (!Answers())
        {
            if (_process.HasExited || waited.Elapsed > TimeSpan.FromSeconds(60))
            {
                throw new InvalidOperationException($"redis-server did not come up on port {Port}.");
            }
            Thread.Sleep(5);
        }
    }

    /// <summary>Kills it.</summary>
    public void Stop()
    {
        _process?.Kill();
        _process?.WaitForExit();
        _process?.Dispose();
        _process = null;
    }

    /// <summary>Stops it where it is: it takes connections and says nothing.</summary>
    public void Freeze() => Signal("-STOP");

    /// <summary>Has it go on.</summary>
    public void Thaw() => Signal("-CONT");

    public void Dispose()
    {
        Stop();
        _folder.Delete(recursive: true);
    }

    private void Signal(string signal)
    {
        using Process kill = Process.Start("kill", [signal, $"{_process!.Id}"]);
        kill.WaitForExit();
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private bool Answers()
    {
        try
        {
            using TcpClient client = new("127.0.0.1", Port);
            client.GetStream().Write("PING\r\n"u8);
            return client.GetStream().ReadByte() == '+';
        }
        catch (SocketException)
        {
            return false;
        }
        catch (IOException)
        {
            return false;
        }
    }
}
