using System;
using System.Diagnostics;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Xunit;

namespace Tokencache.Identity.Web.Tests;

[Collection(ServerProcess.Example)]
public class SampleTests
{
    [Fact]
    public async Task The_sample_prints_what_its_page_shows()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("tokencache-");
        ProcessStartInfo start = new("dotnet")
        {
            ArgumentList = { "run", "--project", Path.Combine(Root(), "examples/dotnet/orders-api"), "--", "--demo" },
            WorkingDirectory = folder.FullName,
            RedirectStandardOutput = true,
        };
        // As in its settings, with much patience for a machine that has much to do.
        start.Environment["Tokencache__resilience__deadline_ms"] = "60000";
        using Process program = Process.Start(start)!;
        string output = await program.StandardOutput.ReadToEndAsync();
        await program.WaitForExitAsync();
        folder.Delete(recursive: true);
        string page = await File.ReadAllTextAsync(Path.Combine(Root(), "docs/dotnet.md"));
        string shown = page[page.IndexOf("GET  /orders", StringComparison.Ordinal)..];
        Assert.Equal(shown[..shown.IndexOf("\n```", StringComparison.Ordinal)], output.Trim());
        Assert.Equal(0, program.ExitCode);
    }

    private static string Root([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../.."));
}
