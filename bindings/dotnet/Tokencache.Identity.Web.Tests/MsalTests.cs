using System;
using System.Collections.Generic;
using System.Linq;
using System.Net.Http;
using System.Text.Json;
using System.Threading.Tasks;
using Microsoft.Identity.Client;
using Microsoft.Identity.Client.Cache;
using Microsoft.Identity.Web;
using OrdersApi;
using Tokencache.Testing;
using Tokencache.Tests;
using Xunit;
using static Tokencache.Tests.Support;

namespace Tokencache.Identity.Web.Tests;

/// <summary>MSAL.NET alone over our provider, against the identity provider over HTTP.</summary>
public sealed class MsalTests : IAsyncLifetime, IDisposable
{
    private const int Writers = 8;
    private const string Key = $"{IdentityProvider.ClientId}_{IdentityProvider.TenantId}_AppTokenCache";
    private static readonly int s_merges = Environment.GetEnvironmentVariable("TOKENCACHE_TEST_LONG") == "1" ? 50 : 10;

    private readonly Folder _folder = new();
    private IdentityProvider _provider = null!;
    private LoopbackClients _clients = null!;

    public async Task InitializeAsync()
    {
        _provider = await IdentityProvider.StartAsync();
        _clients = new LoopbackClients(_provider.Address);
    }

    public async Task DisposeAsync() => await _provider.DisposeAsync();

    public void Dispose()
    {
        _clients.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_token_is_fetched_once_and_each_answer_says_where_it_was_found()
    {
        using TokenCache cache = _folder.Open(), other = _folder.Open();
        IConfidentialClientApplication one = Application(cache), two = Application(other);
        Assert.Equal((TokenSource.IdentityProvider, CacheLevel.None), await Acquire(one, "orders"));
        Assert.Equal((TokenSource.Cache, CacheLevel.L1Cache), await Acquire(one, "orders"));
        Assert.Equal((TokenSource.Cache, CacheLevel.L2Cache), await Acquire(two, "orders"));
        Assert.Equal((TokenSource.Cache, CacheLevel.L1Cache), await Acquire(two, "orders"));
        Assert.Equal(1, _provider.Issued.Values.Sum());
    }

    [Fact]
    public async Task The_entry_is_under_the_suggested_key_and_ends_when_MSAL_suggests()
    {
        // The library would find the same end in the blob.
        using TokenCache cache = TokenCache.Open(
            _folder.Document().Replace("{\"version\"", "{\"expiry\": {\"from_value\": \"off\"}, \"version\"", StringComparison.Ordinal));
        await Acquire(Application(cache), "orders");
        using TokenValue? blob = cache.Get(Key);
        TimeSpan left = blob!.ExpiresAt!.Value - DateTimeOffset.UtcNow;
        Assert.InRange(left, TimeSpan.FromMinutes(50), TimeSpan.FromMinutes(60));
        Assert.Single(Tokens(cache));
    }

    [Fact]
    public async Task Writers_of_one_blob_lose_no_token_of_each_other()
    {
        List<TokenCache> caches = [.. Enumerable.Range(0, Writers).Select(_ => _folder.Open())];
        await Parallel.ForAsync(0, Writers, new ParallelOptions { MaxDegreeOfParallelism = Writers }, async (writer, _) =>
        {
            IConfidentialClientApplication application = Application(caches[writer]);
            for (int merge = 0; merge < s_merges; merge++)
            {
                Assert.Equal(TokenSource.IdentityProvider, (await Acquire(application, $"{writer}-{merge}")).Source);
            }
        });
        Assert.Equal(Writers * s_merges, Tokens(caches[0]).Length);
        long conflicts = caches.Sum(cache => Counter(cache, "conflicts"));
        Assert.True(conflicts > 0, "Nobody met anybody, so nothing was tested.");
        // And MSAL finds each of them.
        IConfidentialClientApplication reader = Application(caches[0]);
        for (int writer = 0; writer < Writers; writer++)
        {
            Assert.Equal(TokenSource.Cache, (await Acquire(reader, $"{writer}-0")).Source);
        }
        caches.ForEach(cache => cache.Dispose());
    }

    [Fact]
    public async Task While_L2_is_away_tokens_are_fetched_kept_and_owed()
    {
        using TokenCache cache = _folder.Open(attempts: 1);
        IConfidentialClientApplication application = Application(cache);
        await Acquire(application, "orders");
        cache.Clear();
        _folder.TakeAway();
        Assert.Equal((TokenSource.IdentityProvider, CacheLevel.None), await Acquire(application, "prices"));
        Assert.Equal(TokenSource.Cache, (await Acquire(application, "prices")).Source);
        _folder.PutBack();
        Assert.True(cache.Flush(TimeSpan.FromSeconds(60)));
        using TokenCache other = _folder.Open();
        Assert.Equal(TokenSource.Cache, (await Acquire(Application(other), "prices")).Source);
    }

    [Fact]
    public async Task Requests_at_once_under_one_correlation_id_are_each_answered()
    {
        using TokenCache cache = _folder.Open();
        // MSAL lets them into its cache together then, and who looks while another fills it asks the provider.
        IConfidentialClientApplication application = Application(cache, isSynchronized: false);
        await Acquire(application, "orders");
        Guid one = Guid.NewGuid();
        await Parallel.ForAsync(0, 4000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (_, ended) =>
        {
            AuthenticationResult result = await application
                .AcquireTokenForClient(["https://orders.example/.default"])
                .WithCorrelationId(one)
                .ExecuteAsync(ended);
            Assert.NotEmpty(result.AccessToken);
        });
    }

    [Fact]
    public async Task What_MSAL_cannot_read_is_said_as_MSAL_says_it()
    {
        using TokenCache cache = _folder.Open();
        cache.Set(Key, "not JSON"u8);
        MsalClientException refused = await Assert.ThrowsAsync<MsalClientException>(() => Acquire(Application(cache), "orders"));
        Assert.Equal(MsalError.JsonParseError, refused.ErrorCode);
    }

    [Fact]
    public async Task A_user_who_signs_out_is_gone_for_every_server()
    {
        using TokenCache cache = _folder.Open(), other = _folder.Open();
        IConfidentialClientApplication one = Application(cache), two = Application(other);
        UserAssertion alice = new(_provider.SignIn("alice"));
        string[] scopes = ["https://prices.example/read"];
        AuthenticationResult first = await one.AcquireTokenOnBehalfOf(scopes, alice).ExecuteAsync();
        AuthenticationResult second = await two.AcquireTokenOnBehalfOf(scopes, alice).ExecuteAsync();
        Assert.Equal(first.AccessToken, second.AccessToken);
        TokencacheTokenCacheProvider provider = new(
            cache, Microsoft.Extensions.Logging.Abstractions.NullLogger<TokencacheTokenCacheProvider>.Instance);
        await provider.ClearAsync(alice.Assertion is { } text ? Hash(text) : string.Empty);
        AuthenticationResult third = await two.AcquireTokenOnBehalfOf(scopes, alice).ExecuteAsync();
        Assert.Equal(TokenSource.IdentityProvider, third.AuthenticationResultMetadata.TokenSource);
    }

    private static string Hash(string assertion) => Microsoft.IdentityModel.Tokens.Base64UrlEncoder.Encode(
        System.Security.Cryptography.SHA256.HashData(Bytes(assertion)));

    private static async Task<(TokenSource Source, CacheLevel Level)> Acquire(
        IConfidentialClientApplication application,
        string resource)
    {
        AuthenticationResult result = await application
            .AcquireTokenForClient([$"https://{resource}.example/.default"])
            .ExecuteAsync();
        return (result.AuthenticationResultMetadata.TokenSource, result.AuthenticationResultMetadata.CacheLevel);
    }

    private static JsonProperty[] Tokens(TokenCache cache)
    {
        using TokenValue? blob = cache.Get(Key);
        return [.. JsonDocument.Parse(blob!.ToArray()).RootElement.GetProperty("AccessToken").EnumerateObject()];
    }

    private static long Counter(TokenCache cache, string name)
    {
        using JsonDocument statistics = JsonDocument.Parse(cache.Stats());
        return statistics.RootElement.GetProperty("l2").GetProperty(name).GetInt64();
    }

    private IConfidentialClientApplication Application(TokenCache cache, bool isSynchronized = true) => ConfidentialClientApplicationBuilder
        .Create(IdentityProvider.ClientId)
        .WithClientSecret("made up")
        .WithAuthority($"https://login.microsoftonline.com/{IdentityProvider.TenantId}", validateAuthority: false)
        .WithInstanceDiscovery(false)
        .WithHttpClientFactory(_clients)
        .WithCacheSynchronization(isSynchronized)
        .Build()
        .AddTokencacheTokenCache(cache);
}
