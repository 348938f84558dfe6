using System;
using System.Diagnostics;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading.Tasks;
using Xunit;

namespace Tokencache.Extensions.Tests;

/// <summary>The packages, installed where the source is not, do what docs/dotnet.md shows.</summary>
public sealed class PackagesTests : IDisposable
{
    private static readonly string Version = TokenCache.LibraryVersion;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("tokencache-packages-");

    private string Packages => Path.Combine(_folder.FullName, "packages");

    [Fact]
    public async Task The_page_can_be_followed_with_the_packages_alone()
    {
        string library = Environment.GetEnvironmentVariable("TOKENCACHE_LIBRARY") ?? string.Empty;
        await Run(Root, Path.Combine(Root, "tools/dotnet-pack"), library, Packages);
        Contain();
        string page = await File.ReadAllTextAsync(Path.Combine(Root, "docs/dotnet.md"));
        string project = Block(page, "## A first program", "xml").Replace(
            "</ItemGroup>",
            $"""
              <PackageReference Include="Tokencache.Extensions.HealthChecks" Version="{Version}" />
                <PackageReference Include="Tokencache.Identity.Web" Version="{Version}" />
                <PackageReference Include="Microsoft.Identity.Web" Version="4.18.0" />
                <!-- Identity.Web asks for an older one, which need not be at hand where there is no network. -->
                <PackageReference Include="Microsoft.Identity.Client" Version="4.92.0" />
              </ItemGroup>
              <PropertyGroup>
                <RestoreAdditionalProjectSources>{Packages}</RestoreAdditionalProjectSources>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
            """,
            StringComparison.Ordinal);
        await Write("first.csproj", project);
        await Write("Uses.cs", Uses);
        await Write("appsettings.json", Block(page, "## A service", "json"));
        foreach (string section in new[] { "## A first program", "## A service" })
        {
            await Write("Program.cs", Block(page, section, "csharp"));
            string said = await Run(Program, "dotnet", "run", "--project", Program);
            Assert.Equal(Block(page, section, "text"), said.TrimEnd());
        }
    }

    public void Dispose() => _folder.Delete(recursive: true);

    /// <summary>The other packages, compiled if not run.</summary>
    private const string Uses = """
        using Microsoft.Identity.Web;

        internal static class Uses
        {
            public static void All(WebApplicationBuilder builder)
            {
                builder.Services.AddMicrosoftIdentityWebApiAuthentication(builder.Configuration)
                    .EnableTokenAcquisitionToCallDownstreamApi()
                    .AddTokencacheTokenCaches(builder.Configuration.GetSection("Tokencache"));
                builder.Services.AddHealthChecks().AddTokencache();
            }
        }
        """;

    private string Program => Path.Combine(_folder.FullName, "first");

    private static string Root => Path.GetFullPath(Path.Combine(Here(), "../../.."));

    private static string Here([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;

    /// <summary>The first block of a language below a heading.</summary>
    private static string Block(string page, string heading, string language)
    {
        string below = page[page.IndexOf(heading, StringComparison.Ordinal)..];
        string fence = $"```{language}\n";
        string block = below[(below.IndexOf(fence, StringComparison.Ordinal) + fence.Length)..];
        return block[..block.IndexOf("\n```", StringComparison.Ordinal)];
    }

    private void Contain()
    {
        foreach (string name in new[] { "Tokencache", "Tokencache.Extensions.Caching", "Tokencache.Extensions.HealthChecks", "Tokencache.Identity.Web" })
        {
            using ZipArchive package = ZipFile.OpenRead(Path.Combine(Packages, $"{name}.{Version}.nupkg"));
            Assert.NotNull(package.GetEntry("README.md"));
            Assert.NotNull(package.GetEntry($"lib/net10.0/{name}.xml"));
            Assert.True(File.Exists(Path.Combine(Packages, $"{name}.{Version}.snupkg")), $"{name} has no symbols");
            string nuspec = Text(package, $"{name}.nuspec");
            Assert.Contains("<license type=\"expression\">MIT</license>", nuspec, StringComparison.Ordinal);
            Assert.Contains("<tags>", nuspec, StringComparison.Ordinal);
        }
        using ZipArchive native = ZipFile.OpenRead(Path.Combine(Packages, $"Tokencache.Native.{Version}.nupkg"));
        Assert.NotNull(native.GetEntry("runtimes/linux-x64/native/libtokencache.so"));
        Assert.DoesNotContain(native.Entries, entry => entry.FullName.EndsWith(".dll", StringComparison.Ordinal));
        using ZipArchive managed = ZipFile.OpenRead(Path.Combine(Packages, $"Tokencache.{Version}.nupkg"));
        Assert.Equal(
            3,
            Text(managed, "Tokencache.nuspec").Split($"<dependency id=\"Tokencache.Native\" version=\"[{Version}]\"").Length - 1);
        string[] targets = [.. managed.Entries.Select(it => it.FullName.Split('/')).Where(it => it[0] == "lib").Select(it => it[1]).Distinct().Order(StringComparer.Ordinal)];
        Assert.Equal(["net10.0", "net8.0", "netstandard2.0"], targets);
    }

    private static string Text(ZipArchive package, string entry)
    {
        using StreamReader reader = new(package.GetEntry(entry)!.Open());
        return reader.ReadToEnd();
    }

    private Task Write(string name, string text)
    {
        Directory.CreateDirectory(Program);
        return File.WriteAllTextAsync(Path.Combine(Program, name), text);
    }

    private async Task<string> Run(string folder, string program, params string[] arguments)
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
        }
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        string complaints = await errors;
        Assert.True(process.ExitCode == 0, $"{program} ended with {process.ExitCode}: {output}{complaints}");
        return output;
    }
}
