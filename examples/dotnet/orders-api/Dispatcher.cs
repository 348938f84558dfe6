using System;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace OrdersApi;

/// <summary>Hands each request to the next server, whoever asks: no affinity.</summary>
internal sealed class Dispatcher : IAsyncDisposable
{
    private readonly HttpClient _client = new();
    private readonly Uri[] _servers;
    private readonly WebApplication _app;
    private int _turn = -1;

    private Dispatcher(Uri[] servers)
    {
        _servers = servers;
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        _app = builder.Build();
        _app.Map("/{**path}", Forward);
    }

    public Uri Address => new(_app.Urls.Single());

    public static async Task<Dispatcher> StartAsync(params Uri[] servers)
    {
        Dispatcher dispatcher = new(servers);
        await dispatcher._app.StartAsync();
        return dispatcher;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        _client.Dispose();
    }

    private async Task Forward(HttpContext context)
    {
        Uri server = _servers[(uint)Interlocked.Increment(ref _turn) % (uint)_servers.Length];
        using HttpRequestMessage request = new(
            new HttpMethod(context.Request.Method), new Uri(server, context.Request.Path + context.Request.QueryString));
        if (AuthenticationHeaderValue.TryParse(context.Request.Headers.Authorization, out AuthenticationHeaderValue? who))
        {
            request.Headers.Authorization = who;
        }
        using HttpResponseMessage response = await _client.SendAsync(request, context.RequestAborted);
        context.Response.StatusCode = (int)response.StatusCode;
        context.Response.ContentType = response.Content.Headers.ContentType?.ToString();
        await response.Content.CopyToAsync(context.Response.Body, context.RequestAborted);
    }
}
