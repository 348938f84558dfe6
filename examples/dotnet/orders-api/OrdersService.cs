using System;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Client;
using Microsoft.Identity.Web;
using Microsoft.IdentityModel.JsonWebTokens;

namespace OrdersApi;

/// <summary>What /orders answers: which server, and which token it would ask the prices with.</summary>
internal sealed record Answer(string Server, string Token, bool Mfa, string From);

/// <summary>One server of the orders API: it takes a user's token, and gets one for the prices API on their behalf.</summary>
internal static class OrdersService
{
    private const string Prices = "https://prices.example/read";

    /// <summary>What the prices API would answer with 401 when it wants a second factor.</summary>
    private const string Challenge = """{"access_token":{"acrs":{"essential":true,"value":"c1"}}}""";

    public static WebApplication Build(string server, Uri provider, Action<WebApplicationBuilder>? configure = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder(
            new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        configure?.Invoke(builder);
        builder.WebHost.UseUrls("http://127.0.0.1:0");

        builder.Services.AddMicrosoftIdentityWebApiAuthentication(builder.Configuration)
            .EnableTokenAcquisitionToCallDownstreamApi()
            .AddTokencacheTokenCaches(builder.Configuration.GetSection("Tokencache"));
        builder.Services.AddHealthChecks().AddTokencache();
        builder.Services.AddAuthorization();
        IdentityProvider.StandIn(builder.Services, provider);

        WebApplication app = builder.Build();
        app.UseAuthentication();
        app.UseAuthorization();
        app.MapHealthChecks("/health");
        app.MapGet("/orders", (ITokenAcquisition tokens) => Ask(server, tokens, claims: null)).RequireAuthorization();
        app.MapPost("/orders/approve", (ITokenAcquisition tokens) => Ask(server, tokens, Challenge)).RequireAuthorization();
        return app;
    }

    private static async Task<IResult> Ask(string server, ITokenAcquisition tokens, string? claims)
    {
        AuthenticationResult result = await tokens.GetAuthenticationResultForUserAsync(
            [Prices], tokenAcquisitionOptions: new TokenAcquisitionOptions { Claims = claims });
        JsonWebToken token = new(result.AccessToken);
        AuthenticationResultMetadata metadata = result.AuthenticationResultMetadata;
        string from = metadata.TokenSource == TokenSource.Cache
            ? metadata.CacheLevel.ToString()
            : metadata.TokenSource.ToString();
        return Results.Json(new Answer(server, token.Id, token.TryGetPayloadValue("acrs", out string acrs) && acrs == "c1", from));
    }
}
