using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Net.Http;
using System.Security.Cryptography;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Identity.Web;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace OrdersApi;

/// <summary>A made-up identity provider over HTTP on loopback, which every host name of the real one leads to.</summary>
internal sealed class IdentityProvider : IAsyncDisposable
{
    public const string ClientId = "c0ffee00-0000-4000-8000-0000000000c1";
    public const string TenantId = "7e000000-0000-4000-8000-000000000001";

    private const string Host = "https://login.microsoftonline.com";

    private static readonly string[] s_aliases =
        ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"];

    private readonly RSA _rsa = RSA.Create(2048);
    private readonly JsonWebTokenHandler _tokens = new();
    private readonly ConcurrentDictionary<string, int> _issued = new(StringComparer.Ordinal);
    private readonly WebApplication _app;
    private int _number;

    private IdentityProvider()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        _app = builder.Build();
        _app.MapGet("/common/discovery/instance", Instances);
        _app.MapGet("/{tenant}/v2.0/.well-known/openid-configuration", Metadata);
        _app.MapGet("/{tenant}/.well-known/openid-configuration", Metadata);
        _app.MapGet("/{tenant}/discovery/v2.0/keys", Keys);
        _app.MapPost("/{tenant}/oauth2/v2.0/token", Issue);
        _app.MapPost("/sign-in/{user}", (string user) => SignIn(user));
    }

    public Uri Address => new(_app.Urls.Single());

    /// <summary>How many tokens were issued, by grant and subject, as "obo alice" or "app https://prices.example/.default".</summary>
    public IReadOnlyDictionary<string, int> Issued => _issued;

    public static async Task<IdentityProvider> StartAsync()
    {
        IdentityProvider provider = new();
        await provider._app.StartAsync();
        return provider;
    }

    /// <summary>Has all that these services send to the real provider go to the made-up one.</summary>
    public static void StandIn(IServiceCollection services, Uri address)
    {
        services.ConfigureHttpClientDefaults(http => http.AddHttpMessageHandler(() => new Loopback(address)));
        services.Configure<AadIssuerValidatorOptions>(options => options.HttpClientName = nameof(IdentityProvider));
        services.ConfigureAll<JwtBearerOptions>(options =>
            options.BackchannelHttpHandler = new Loopback(address) { InnerHandler = new HttpClientHandler() });
    }

    /// <summary>The token with which a user's browser asks the orders API.</summary>
    public string SignIn(string user) => Sign(new Dictionary<string, object>
    {
        ["aud"] = ClientId,
        ["oid"] = ObjectId(user),
        ["sub"] = user,
        ["preferred_username"] = user,
        ["scp"] = "orders.read",
        ["azp"] = ClientId,
        ["jti"] = Guid.NewGuid().ToString(),
    });

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _rsa.Dispose();
    }

    private static string ObjectId(string user) =>
        new Guid(SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(user)).AsSpan(0, 16)).ToString();

    private static IResult Instances() => Results.Json(new Dictionary<string, object>
    {
        ["tenant_discovery_endpoint"] = $"{Host}/common/v2.0/.well-known/openid-configuration",
        ["api-version"] = "1.1",
        ["metadata"] = new[]
        {
            new
            {
                preferred_network = "login.microsoftonline.com",
                preferred_cache = "login.windows.net",
                aliases = s_aliases,
            },
        },
    });

    private static IResult Metadata(string tenant) => Results.Json(new
    {
        issuer = $"{Host}/{(Guid.TryParse(tenant, out _) ? tenant : "{tenantid}")}/v2.0",
        authorization_endpoint = $"{Host}/{tenant}/oauth2/v2.0/authorize",
        token_endpoint = $"{Host}/{tenant}/oauth2/v2.0/token",
        jwks_uri = $"{Host}/{tenant}/discovery/v2.0/keys",
    });

    private IResult Keys()
    {
        RSAParameters key = _rsa.ExportParameters(includePrivateParameters: false);
        return Results.Json(new
        {
            keys = new[]
            {
                new
                {
                    kty = "RSA",
                    use = "sig",
                    kid = "made-up",
                    n = Base64UrlEncoder.Encode(key.Modulus),
                    e = Base64UrlEncoder.Encode(key.Exponent),
                },
            },
        });
    }

    private async Task<IResult> Issue(HttpRequest request)
    {
        IFormCollection form = await request.ReadFormAsync();
        string scope = string.Join(' ', form["scope"].ToString().Split(' ').Where(it => it.Contains('/', StringComparison.Ordinal)));
        string? assertion = form["assertion"];
        string subject = assertion is null ? scope : new JsonWebToken(assertion).Subject;
        _issued.AddOrUpdate($"{(assertion is null ? "app" : "obo")} {subject}", 1, (_, count) => count + 1);
        Dictionary<string, object> claims = new()
        {
            ["aud"] = scope,
            ["sub"] = subject,
            ["jti"] = $"token {Interlocked.Increment(ref _number)}",
        };
        if (form["claims"].ToString().Contains("acrs", StringComparison.Ordinal))
        {
            claims["acrs"] = "c1";
        }
        Dictionary<string, object> response = new()
        {
            ["token_type"] = "Bearer",
            ["expires_in"] = 3599,
            ["ext_expires_in"] = 3599,
            ["scope"] = scope,
            ["access_token"] = Sign(claims),
        };
        if (assertion is not null)
        {
            response["client_info"] = Base64UrlEncoder.Encode(
                JsonSerializer.Serialize(new { uid = ObjectId(subject), utid = TenantId }));
            response["id_token"] = Sign(new Dictionary<string, object>
            {
                ["aud"] = ClientId,
                ["oid"] = ObjectId(subject),
                ["sub"] = subject,
                ["preferred_username"] = subject,
            });
        }
        return Results.Json(response);
    }

    private string Sign(Dictionary<string, object> claims)
    {
        claims["tid"] = TenantId;
        claims["ver"] = "2.0";
        return _tokens.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = $"{Host}/{TenantId}/v2.0",
            Claims = claims,
            Expires = DateTime.UtcNow.AddHours(1),
            SigningCredentials = new SigningCredentials(
                new RsaSecurityKey(_rsa) { KeyId = "made-up" }, SecurityAlgorithms.RsaSha256),
        });
    }

    /// <summary>Sends what is meant for any host to one.</summary>
    private sealed class Loopback(Uri address) : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(
            HttpRequestMessage request,
            CancellationToken cancellationToken)
        {
            request.RequestUri = new Uri(address, request.RequestUri!.PathAndQuery);
            return base.SendAsync(request, cancellationToken);
        }
    }
}
