using System;
using System.Diagnostics;
using System.IO;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Xunit;

namespace Tokencache.Extensions.Tests;

/// <summary>The packages, and programs that have nothing else of us: no source tree, and a store of NuGet's own.</summary>
public sealed class InstalledPackages : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("tokencache-packages-");

    public static string Version { get; } = TokenCache.LibraryVersion;

    public static string Root { get; } = Path.GetFullPath(Path.Combine(Here(), "../../.."));

    /// <summary>Where they are.</summary>
    public string Packages => Path.Combine(_folder.FullName, "packages");

    public async Task InitializeAsync() => await Run(Root, Path.Combine(Root, "tools/dotnet-pack"), await Library(), Packages);

    public Task DisposeAsync()
    {
        _folder.Delete(recursive: true);
        return Task.CompletedTask;
    }

    /// <summary>A folder for a program.</summary>
    public string Program(string name) => _folder.CreateSubdirectory(name).FullName;

    /// <summary>What a project needs in order to find them.</summary>
    public string Sources => $"""
        <PropertyGroup>
            <RestoreAdditionalProjectSources>{Packages}</RestoreAdditionalProjectSources>
            <NuGetAudit>false</NuGetAudit>
          </PropertyGroup>
        """;

    /// <summary>What a program prints that <c>dotnet run</c> builds and starts in its folder.</summary>
    public Task<string> Run(string folder, params string[] arguments) =>
        Run(folder, "dotnet", ["run", "--project", folder, "--", .. arguments]);

    /// <summary>The page of this name.</summary>
    public static string Page(string name) => File.ReadAllText(Path.Combine(Root, name));

    /// <summary>The first block of a language below a heading.</summary>
    public static string Block(string page, string heading, string language)
    {
        string below = page[page.IndexOf(heading, StringComparison.Ordinal)..];
        string fence = $"```{language}\n";
        string block = below[(below.IndexOf(fence, StringComparison.Ordinal) + fence.Length)..];
        return block[..block.IndexOf("\n```", StringComparison.Ordinal)];
    }

    private static string Here([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;

    /// <summary>The library under test; when there is time for it, the one that is given away.</summary>
    private async Task<string> Library()
    {
        string here = Environment.GetEnvironmentVariable("TOKENCACHE_LIBRARY") ?? string.Empty;
        if (Environment.GetEnvironmentVariable("TOKENCACHE_TEST_LONG") != "1")
        {
            return here;
        }
        (int code, string output, string complaints) = await Outcome(Root, Path.Combine(Root, "tools/portable"));
        if (complaints.Contains("from the Python registry", StringComparison.Ordinal))
        {
            Console.WriteLine("skipped: the library that is given away cannot be built without the Python registry");
            return here;
        }
        Assert.True(code == 0, complaints);
        return output.Trim();
    }

    private async Task<string> Run(string folder, string program, params string[] arguments)
    {
        (int code, string output, string complaints) = await Outcome(folder, program, arguments);
        Assert.True(code == 0, $"{program} {string.Join(' ', arguments)} ended with {code}: {output}{complaints}");
        return output;
    }

    private async Task<(int Code, string Output, string Complaints)> Outcome(string folder, string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments)
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        if (program == "dotnet")
        {
            // What is installed comes from the packages, and not from what an earlier run of this test has unpacked.
            start.Environment.Remove("TOKENCACHE_LIBRARY");
            start.Environment["NUGET_PACKAGES"] = Path.Combine(_folder.FullName, "unpacked");
            // Beside the settings of those that have some, for a machine that has much to do.
            start.Environment["Tokencache__resilience__deadline_ms"] = "60000";
        }
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await errors);
    }
}

/// <summary>Packing takes a minute: those who need the packages share them.</summary>
[CollectionDefinition(Name)]
public sealed class Installed : ICollectionFixture<InstalledPackages>
{
    public const string Name = "installed packages";
}
