using System;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Extensions.Tests.InstalledPackages;

namespace Tokencache.Extensions.Tests;

/// <summary>What the packages hold, and that the examples run where there is nothing else of us.</summary>
[Collection(Installed.Name)]
public sealed partial class PackagesTests(InstalledPackages installed)
{
    [Fact]
    public void They_hold_what_a_user_expects()
    {
        foreach (string name in new[] { "Tokencache", "Tokencache.Extensions.Caching", "Tokencache.Extensions.HealthChecks", "Tokencache.Identity.Web" })
        {
            using ZipArchive package = Open(name);
            Assert.NotNull(package.GetEntry("README.md"));
            Assert.NotNull(package.GetEntry($"lib/net10.0/{name}.xml"));
            Assert.True(File.Exists(Path.Combine(installed.Packages, $"{name}.{InstalledPackages.Version}.snupkg")), $"{name} has no symbols");
            string nuspec = Text(package, $"{name}.nuspec");
            Assert.Contains("<license type=\"expression\">MIT</license>", nuspec, StringComparison.Ordinal);
            Assert.Contains("<tags>", nuspec, StringComparison.Ordinal);
        }
        using ZipArchive native = Open("Tokencache.Native");
        Assert.NotNull(native.GetEntry("runtimes/linux-x64/native/libtokencache.so"));
        Assert.DoesNotContain(native.Entries, entry => entry.FullName.EndsWith(".dll", StringComparison.Ordinal));
        using ZipArchive managed = Open("Tokencache");
        string pinned = $"<dependency id=\"Tokencache.Native\" version=\"[{InstalledPackages.Version}]\"";
        Assert.Equal(3, Text(managed, "Tokencache.nuspec").Split(pinned).Length - 1);
        string[] targets = [.. managed.Entries.Select(it => it.FullName.Split('/')).Where(it => it[0] == "lib").Select(it => it[1]).Distinct().Order(StringComparer.Ordinal)];
        Assert.Equal(["net10.0", "net8.0", "netstandard2.0"], targets);
    }

    [Fact]
    public async Task The_first_program_greets() =>
        Assert.Equal("alice: made-up-token, from L1", (await installed.Run(Copy("hello"))).Trim());

    [Fact]
    public async Task The_orders_api_serves_from_two_servers()
    {
        string said = await installed.Run(Copy("orders-api"), "--demo");
        Assert.EndsWith("The identity provider was asked 2 times.", said.Trim(), StringComparison.Ordinal);
    }

    /// <summary>An example whose project references packages instead of projects.</summary>
    private string Copy(string example)
    {
        string folder = installed.Program(example);
        foreach (string file in Directory.GetFiles(Path.Combine(Root, "examples/dotnet", example)))
        {
            string text = File.ReadAllText(file);
            if (file.EndsWith(".csproj", StringComparison.Ordinal))
            {
                text = OfProject().Replace(text, $"<PackageReference Include=\"$1\" Version=\"{InstalledPackages.Version}\" />")
                    .Replace("</Project>", $"  {installed.Sources}\n</Project>", StringComparison.Ordinal);
            }
            File.WriteAllText(Path.Combine(folder, Path.GetFileName(file)), text);
        }
        return folder;
    }

    [GeneratedRegex("<ProjectReference Include=\".*/([^/]+)\\.csproj\" />")]
    private static partial Regex OfProject();

    private ZipArchive Open(string name) =>
        ZipFile.OpenRead(Path.Combine(installed.Packages, $"{name}.{InstalledPackages.Version}.nupkg"));

    private static string Text(ZipArchive package, string entry)
    {
        using StreamReader reader = new(package.GetEntry(entry)!.Open());
        return reader.ReadToEnd();
    }
}
