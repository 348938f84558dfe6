using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Identity.Web;

namespace Tokencache.Identity.Web.Tests;

/// <summary>A web API before and after; what differs is counted by a test.</summary>
internal static class Setups
{
    /// <summary>As Microsoft.Identity.Web documents its distributed token cache.</summary>
    public static void Documented(WebApplicationBuilder builder)
    {
        builder.Services.AddMicrosoftIdentityWebApiAuthentication(builder.Configuration)
            .EnableTokenAcquisitionToCallDownstreamApi()
            .AddDistributedTokenCaches();
        builder.Services.AddStackExchangeRedisCache(options =>
        {
            options.Configuration = builder.Configuration.GetConnectionString("Redis");
            options.InstanceName = "orders:";
        });
        builder.Services.AddAuthorization();
    }

    /// <summary>With Tokencache.</summary>
    public static void Ours(WebApplicationBuilder builder)
    {
        builder.Services.AddMicrosoftIdentityWebApiAuthentication(builder.Configuration)
            .EnableTokenAcquisitionToCallDownstreamApi()
            .AddTokencacheTokenCaches(builder.Configuration.GetSection("Tokencache"));
        builder.Services.AddAuthorization();
    }
}
