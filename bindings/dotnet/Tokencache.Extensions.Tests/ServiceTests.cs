using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Tokencache.Extensions.Caching;
using Tokencache.Tests;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Extensions.Tests;

public class ServiceTests
{
    [Fact]
    public void A_service_finds_one_cache_and_the_distributed_cache_over_it()
    {
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(options => options.Json = Memory)
            .BuildServiceProvider();
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Assert.Same(cache, services.GetRequiredService<TokenCache>());
        services.GetRequiredService<IDistributedCache>().SetString("alice", "token");
        Assert.Equal("token", Read(cache, "alice"));
        Assert.IsType<IBufferDistributedCache>(services.GetRequiredService<IDistributedCache>(), exactMatch: false);
    }

    [Fact]
    public void The_cache_closes_with_its_services_and_brings_what_it_owes_to_L2_before()
    {
        using Folder folder = new();
        ServiceProvider services = new ServiceCollection()
            .AddTokencache(options => options.Json = folder.Document())
            .BuildServiceProvider();
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Read(cache, "alice");
        folder.TakeAway();
        Assert.True(cache.Set("alice", "token"u8).IsOwed);
        folder.PutBack();
        services.Dispose();
        Assert.Throws<ObjectDisposedException>(() => cache.Get("alice"));
        using TokenCache next = folder.Open();
        Assert.Equal("token", Read(next, "alice"));
    }

    [Fact]
    public void A_retry_handler_of_the_options_is_asked()
    {
        using Folder folder = new();
        int asked = 0;
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(options =>
            {
                options.Json = folder.Document();
                options.OnRetry = _ =>
                {
                    asked++;
                    return RetryDecision.GiveUp;
                };
            })
            .BuildServiceProvider();
        TokenCache cache = services.GetRequiredService<TokenCache>();
        folder.TakeAway();
        Assert.Throws<TokenCacheException>(() => cache.Get("alice"));
        Assert.Equal(1, asked);
        folder.PutBack();
    }

    [Fact]
    public void A_section_becomes_the_document()
    {
        string json = ConfigurationDocument.From(Section(
            ("version", "1"),
            ("Name", "orders-api"),
            ("L1:CapacityBytes", "131072"),
            ("l1:enabled", "True"),
            ("l2:kind", "sqlite"),
            ("L2:key_prefix", "42"),
            ("encryption:algorithm", "none"),
            ("Encryption:UnwrapKeyFiles:1", "b.pem"),
            ("Encryption:UnwrapKeyFiles:0", "a.pem"),
            ("Encryption:Keyring:version", "1"),
            ("Encryption:Keyring:keys:0:state", "active"),
            ("Encryption:Keyring:keys:0:material", "AAEC"),
            ("resilience:circuit_ratio", "0.25"),
            ("resilience:journal_path", null)));
        Assert.Equal(
            """
            {"encryption":{"algorithm":"none","keyring":{"keys":[{"material":"AAEC","state":"active"}],"version":1},"unwrap_key_files":["a.pem","b.pem"]},"l1":{"capacity_bytes":131072,"enabled":true},"l2":{"key_prefix":"42","kind":"sqlite"},"name":"orders-api","resilience":{"circuit_ratio":0.25},"version":1}
            """,
            Sorted(json));
    }

    [Fact]
    public void Every_member_of_the_document_keeps_its_type_on_the_way_through_a_section()
    {
        using Stream resource = typeof(ConfigurationDocument).Assembly.GetManifestResourceStream("config.schema.json")!;
        using JsonDocument schema = JsonDocument.Parse(resource);
        List<(string Path, string? Text)> members = [];
        Dictionary<string, string> types = [];
        Walk(schema.RootElement, string.Empty);
        using JsonDocument document = JsonDocument.Parse(ConfigurationDocument.From(Section([.. members])));
        foreach ((string path, string type) in types)
        {
            JsonElement at = document.RootElement;
            foreach (string name in path.Split(':'))
            {
                at = at.GetProperty(name);
            }
            JsonValueKind[] kinds = type switch
            {
                "boolean" => [JsonValueKind.True, JsonValueKind.False],
                "array" => [JsonValueKind.Array],
                "string" => [JsonValueKind.String],
                _ => [JsonValueKind.Number],
            };
            Assert.Contains(at.ValueKind, kinds);
        }
        Assert.True(types.Count > 40, $"{types.Count} members");

        void Walk(JsonElement it, string path)
        {
            foreach (JsonProperty member in it.GetProperty("properties").EnumerateObject())
            {
                string here = path + member.Name;
                string type = member.Value.TryGetProperty("type", out JsonElement said) ? said.GetString()! : "string";
                if (type == "object")
                {
                    if (member.Value.TryGetProperty("properties", out _))
                    {
                        Walk(member.Value, here + ":");
                    }
                    continue;
                }
                types.Add(here, type);
                members.Add(type == "array" ? (here + ":0", "x") : (here, type switch
                {
                    "integer" => "7",
                    "number" => "0.5",
                    "boolean" => "true",
                    _ => "7",
                }));
            }
        }
    }

    [Theory]
    [InlineData("l1:capacity_bytes", "lots", "\"Cache:l1:capacity_bytes\" is an integer; \"lots\" is none.")]
    [InlineData("l1:enabled", "yes", "\"Cache:l1:enabled\" is a boolean; \"yes\" is none.")]
    [InlineData("resilience:circuit_ratio", "half", "\"Cache:resilience:circuit_ratio\" is a number; \"half\" is none.")]
    [InlineData("l2:kind:0", "redis", "\"Cache:l2:kind\" has members of its own, where a value belongs.")]
    [InlineData("l2:uri", "redis://x", "\"Cache:l2:uri\" is not a member of the configuration; there are allow_plaintext, ca_file,")]
    public void What_does_not_fit_is_refused_with_its_path(string path, string text, string message)
    {
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(Section(("version", "1"), (path, text)))
            .BuildServiceProvider();
        InvalidOperationException refused = Assert.Throws<InvalidOperationException>(
            () => services.GetRequiredService<TokenCache>());
        Assert.StartsWith(message, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_section_that_is_not_there_is_refused_by_its_name()
    {
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(new ConfigurationBuilder().Build().GetSection("Cache"))
            .BuildServiceProvider();
        InvalidOperationException refused = Assert.Throws<InvalidOperationException>(
            () => services.GetRequiredService<IDistributedCache>());
        Assert.Contains("\"Cache\" is missing or empty", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_changed_section_is_applied_and_a_bad_one_is_not()
    {
        ConfigurationManager configuration = new();
        configuration["Cache:version"] = "1";
        configuration["Cache:logging:to"] = "none";
        configuration["Cache:l1:capacity_bytes"] = "1000000";
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(configuration.GetSection("Cache"))
            .BuildServiceProvider();
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Assert.Equal(1_000_000, Capacity(cache));
        configuration["Cache:l1:capacity_bytes"] = "2000000";
        ((IConfigurationRoot)configuration).Reload();
        Assert.Equal(2_000_000, Capacity(cache));
        configuration["Cache:l1:capacity_bytes"] = "none at all";
        ((IConfigurationRoot)configuration).Reload();
        Assert.Equal(2_000_000, Capacity(cache));
        configuration["Cache:l1:capacity_bytes"] = "3000000";
        ((IConfigurationRoot)configuration).Reload();
        Assert.Equal(3_000_000, Capacity(cache));
    }

    [Fact]
    public void What_the_application_says_of_the_document_holds_for_a_changed_section_too()
    {
        ConfigurationManager configuration = new();
        configuration["Cache:version"] = "1";
        configuration["Cache:name"] = "orders";
        configuration["Cache:logging:to"] = "none";
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(
                configuration.GetSection("Cache"),
                options => options.Json = options.Json.Replace("orders", "orders of machine 1", StringComparison.Ordinal))
            .BuildServiceProvider();
        TokenCache cache = services.GetRequiredService<TokenCache>();
        Assert.Equal("orders of machine 1", new Statistics(cache).Text("name"));
        configuration["Cache:l1:capacity_bytes"] = "2000000";
        ((IConfigurationRoot)configuration).Reload();
        Assert.Equal(2_000_000, Capacity(cache));
        Assert.Equal("orders of machine 1", new Statistics(cache).Text("name"));
    }

    [Fact]
    public async Task The_rest_of_the_options_can_be_said_beside_a_section()
    {
        using ServiceProvider services = new ServiceCollection()
            .AddTokencache(Section(("version", "1")), options => options.Json = Memory)
            .BuildServiceProvider();
        IDistributedCache cache = services.GetRequiredService<IDistributedCache>();
        await cache.SetStringAsync("alice", "token");
        Assert.Equal("token", await cache.GetStringAsync("alice"));
    }

    private static long Capacity(TokenCache cache) => new Statistics(cache).Number("l1", "capacity_bytes");

    private static IConfigurationSection Section(params (string Path, string? Text)[] members) =>
        new ConfigurationBuilder()
            .AddInMemoryCollection(members.Select(it => KeyValuePair.Create("Cache:" + it.Path, it.Text)))
            .Build()
            .GetSection("Cache");

    private static string Sorted(string json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return Sorted(document.RootElement);
    }

    private static string Sorted(JsonElement it) => it.ValueKind switch
    {
        JsonValueKind.Object => "{" + string.Join(",", it.EnumerateObject()
            .OrderBy(member => member.Name, StringComparer.Ordinal)
            .Select(member => $"\"{member.Name}\":{Sorted(member.Value)}")) + "}",
        JsonValueKind.Array => "[" + string.Join(",", it.EnumerateArray().Select(Sorted)) + "]",
        _ => it.GetRawText(),
    };
}
