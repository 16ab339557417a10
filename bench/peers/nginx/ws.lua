-- Each message becomes a subrequest to php-fpm, and what PHP prints is sent back.
local server = require "nginx.websocket.server"

local ws, err = server:new{timeout = 120000, max_payload_len = 65535}
if not ws then
    ngx.log(ngx.ERR, "handshake: ", err)
    return ngx.exit(444)
end
while true do
    local data, kind, err = ws:recv_frame()
    if not data and kind ~= "ping" and kind ~= "pong" then
        return
    elseif kind == "close" then
        ws:send_close()
        return
    elseif kind == "ping" then
        ws:send_pong(data)
    elseif kind == "text" then
        local answer = ngx.location.capture("/php", {method = ngx.HTTP_POST, body = data})
        local sent = ws:send_text(answer.body)
        if not sent then
            return
        end
    end
end
