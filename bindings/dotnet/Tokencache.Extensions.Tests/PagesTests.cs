using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Xunit;
using static Tokencache.Extensions.Tests.InstalledPackages;

namespace Tokencache.Extensions.Tests;

/// <summary>Every C# block of the pages is compiled and run, by a reader who has the packages alone.</summary>
[Collection(Installed.Name)]
public sealed class PagesTests(InstalledPackages installed)
{
    /// <summary>Where the page shows a part of a program: what stands around it, and what it says then.</summary>
    private static readonly Excerpt[] s_excerpts =
    [
        new(
            "README.md",
            "**C#**",
            """
            using Tokencache;
            byte[] token = [1, 2, 3], newer = [4, 5];
            static void Use(ReadOnlySpan<byte> bytes) => Console.WriteLine($"{bytes.Length} bytes");
            """,
            """Console.WriteLine($"{value?.Length} bytes, then {cache.Get("alice")?.Length}");""",
            "3 bytes\n3 bytes, then 2"),
        new(
            "README.md",
            "**A key vault.**",
            """
            using System.Text.Json.Nodes;
            using Tokencache;
            JsonObject document = new()
            {
                ["version"] = 1,
                ["l2"] = new JsonObject { ["kind"] = "sqlite", ["path"] = "tokens.db" },
                ["resilience"] = new JsonObject { ["deadline_ms"] = 60_000 },
            };
            Vault vault = new();
            """,
            """
            cache.Set("alice", new byte[] { 1 });
            Console.WriteLine(File.ReadAllBytes("tokens.db-wal").AsSpan().IndexOf("TKC"u8) > 0 ? "sealed" : "plain");
            """,
            "sealed"),
    ];

    [Fact]
    public void Every_block_is_run()
    {
        string[] pages = ["README.md", .. Directory.GetFiles(Path.Combine(Root, "docs"), "*.md").Select(it => Path.GetRelativePath(Root, it))];
        foreach (string page in pages)
        {
            int run = s_excerpts.Count(it => it.Page == page) + (page == "docs/dotnet.md" ? 2 : 0);
            Assert.True(Page(page).Split("```csharp\n").Length - 1 == run, $"{page} has C# blocks that nobody runs");
        }
    }

    [Fact]
    public async Task The_page_of_dotnet_can_be_followed()
    {
        string page = Page("docs/dotnet.md"), folder = Project("page");
        Write(folder, "appsettings.json", Block(page, "## A service", "json"));
        Write(folder, "Changed.cs", Changed(Block(page, "## Microsoft.Identity.Web", "diff")));
        foreach (string section in new[] { "## A first program", "## A service" })
        {
            Write(folder, "Program.cs", Patient(Block(page, section, "csharp")));
            Assert.Equal(Block(page, section, "text"), (await installed.Run(folder)).TrimEnd());
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_part_of_a_program_does_what_is_said_of_it(int number)
    {
        Excerpt excerpt = s_excerpts[number];
        string folder = Project($"excerpt{number}");
        Write(folder, "Vault.cs", Vault);
        Write(folder, "Program.cs", $"{excerpt.Before}\n{Patient(Block(Page(excerpt.Page), excerpt.Heading, "csharp"))}\n{excerpt.After}");
        Assert.Equal(excerpt.Says, (await installed.Run(folder)).TrimEnd());
    }

    /// <summary>The page's project, with all the packages.</summary>
    private string Project(string name)
    {
        string folder = installed.Program(name);
        Dictionary<string, string> packages = new()
        {
            ["Tokencache.Extensions.HealthChecks"] = InstalledPackages.Version,
            ["Tokencache.Identity.Web"] = InstalledPackages.Version,
            ["Microsoft.Identity.Web"] = "4.18.0",
            // Identity.Web asks for an older one, which need not be at hand where there is no network.
            ["Microsoft.Identity.Client"] = "4.92.0",
        };
        string references = string.Concat(packages.Select(it => $"    <PackageReference Include=\"{it.Key}\" Version=\"{it.Value}\" />\n"));
        string project = Block(Page("docs/dotnet.md"), "## A first program", "xml");
        Write(folder, "first.csproj", project.Replace("</ItemGroup>", $"{references}</ItemGroup>\n{installed.Sources}", StringComparison.Ordinal));
        return folder;
    }

    /// <summary>What the page changes in an application, compiled.</summary>
    private static string Changed(string diff)
    {
        IEnumerable<string> lines = diff.Split('\n').Where(line => !line.StartsWith('-')).Select(line => line[1..]);
        return $$"""
            using Microsoft.Identity.Client;
            using Microsoft.Identity.Web;
            using TokenCache = Tokencache.TokenCache;

            internal static class Changed
            {
                public static void Web(WebApplicationBuilder builder)
                {
                    {{string.Join('\n', lines)}}
                    builder.Services.AddHealthChecks().AddTokencache();
                }

                public static void Msal(IConfidentialClientApplication application, TokenCache cache) =>
                    application.AddTokencacheTokenCache(cache);
            }
            """;
    }

    /// <summary>The same with a deadline that no machine misses that has much to do.</summary>
    private static string Patient(string program) => program.Replace(
        "{\"version\": 1, ", "{\"version\": 1, \"resilience\": {\"deadline_ms\": 60000}, ", StringComparison.Ordinal);

    private static void Write(string folder, string name, string text) => File.WriteAllText(Path.Combine(folder, name), text);

    private sealed record Excerpt(string Page, string Heading, string Before, string After, string Says);

    /// <summary>A key vault as the SDK of one has it, with a ring that was made up here.</summary>
    private const string Vault = """"
        internal sealed class Vault
        {
            public Task<Response> GetSecretAsync(string name) => Task.FromResult(new Response(new Secret(Ring)));

            private static readonly string Ring = $$"""
                {"version": 1, "keys": [{"state": "active", "material": "{{Convert.ToBase64String([.. Enumerable.Range(1, 32).Select(it => (byte)it)])}}"}]}
                """;

            internal sealed record Response(Secret Value);

            internal sealed record Secret(string Value);
        }
        """";
}
