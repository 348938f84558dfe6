using System;
using System.Diagnostics;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;

namespace Tokencache.Identity.Web.Tests;

/// <summary>The example's server in a process of its own.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    /// <summary>Those who have it built and run take turns: two builds of one project at once disturb each other.</summary>
    public const string Example = "the example";

    private readonly Process _process;

    private ServerProcess(Process process, Uri address)
    {
        _process = process;
        Address = address;
    }

    public Uri Address { get; }

    /// <summary>Starts it, and waits until it listens.</summary>
    public static async Task<ServerProcess> StartAsync(string name, Uri provider, string settings)
    {
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { "run", "--project", Project(), "--", "--server", name, provider.ToString(), settings },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        Process process = Process.Start(start)!;
        string line = await process.StandardOutput.ReadLineAsync()
            ?? throw new InvalidOperationException($"{name} ended before it listened.");
        return new(process, new Uri(line));
    }

    /// <summary>Ends its input, which ends it, and waits for it.</summary>
    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private static string Project([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../examples/dotnet/orders-api"));
}
