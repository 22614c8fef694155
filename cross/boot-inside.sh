# Runs inside of the machine that boot.sh boots, as root.
set -u
failed=0
good() { echo "ok    $*"; }
fail() {
	echo "FAIL  $*"
	failed=1
}
check() { # check WHAT CMD…
	local what=$1
	shift
	if "$@" >/tmp/said 2>&1; then good "$what"; else
		fail "$what"
		tail -n 5 /tmp/said
	fi
}
until_true() { # until_true SECONDS CMD…
	local end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt $end ] || return 1
		sleep 0.1
	done
}
property() { systemctl show -p "$1" --value vggse-agent; }
is() { [ "$(property "$1")" = "$2" ]; }
ms() { echo $(($(date +%s%N) / 1000000)); }
frames() { property StatusText | grep -oE '[1-9][0-9]* frames'; }
settings=/etc/vggse-agent/vggse-agent.yaml

ip link set lo up 2>/dev/null
check "install" dpkg -i /old.deb
begin=$(ms)
check "start and ready" systemctl start vggse-agent
echo "      ready after $(($(ms) - begin)) ms"
check "frames are classified, and STATUS says so" until_true 20 frames
check "state and cache folders of the service's user" test "$(stat -c '%U %a' /var/lib/vggse-agent)" = "vggse-agent 700"

pid=$(property MainPID)
for place in /usr /etc/vggse-agent /home; do
	check "cannot write to $place" bash -c "! nsenter -t $pid -m touch $place/x"
done
check "the root is read-only for it, its state is not" bash -c "! nsenter -t $pid -m touch /x && nsenter -t $pid -m touch /var/lib/vggse-agent/x"
check "no capability" grep -qx 'CapEff:.0000000000000000' "/proc/$pid/status"
check "no new privileges, seccomp filter" grep -qx 'Seccomp:.2' "/proc/$pid/status"

sed -i 's/^WatchdogSec=.*/WatchdogSec=3s/' /lib/systemd/system/vggse-agent.service
systemctl daemon-reload
check "restart with a short watchdog" systemctl restart vggse-agent
sleep 5
check "the watchdog is fed" is NRestarts 0
kill -STOP "$(property MainPID)" # as a process that hangs
check "a frozen process is ended and started again" until_true 40 is NRestarts 1
check "it is ready again" until_true 20 systemctl is-active vggse-agent
check "the stacks of the frozen one are in the journal" bash -c 'journalctl -u vggse-agent --no-pager | grep -q SIGABRT'

mkdir -p /etc/systemd/system/vggse-agent.service.d
cp /usr/share/doc/vggse-agent/examples/drop-ins/credentials.conf /etc/systemd/system/vggse-agent.service.d/
(umask 077 && echo secret >/etc/vggse-agent/mqtt-password)
sed -i '/^mqtt:/,/^[a-z]/s/^  user: ""/  user: device/' $settings
sed -i 's/^    shadow: 60 /    shadow: 2 /' $settings
systemctl daemon-reload
check "restart with a credential" systemctl restart vggse-agent
check "the credential is there, for its user alone" runuser -u vggse-agent -- test ! -r /etc/vggse-agent/mqtt-password
check "the secret is not in the journal" bash -c '! journalctl -u vggse-agent --no-pager | grep -q secret'

sed 's/^  id: ""/  id: line2/' $settings >/etc/vggse-agent/line2.yaml
cp -r /etc/systemd/system/vggse-agent.service.d /etc/systemd/system/vggse-agent@.service.d
sed -i 's/vggse-agent.service/vggse-agent@line2.service/' /etc/systemd/system/vggse-agent@.service.d/*
systemctl daemon-reload
check "a second instance beside the first" systemctl start vggse-agent@line2
check "with a state folder of its own" test -d /var/lib/vggse-agent/line2
check "both run" systemctl is-active vggse-agent vggse-agent@line2
systemctl stop vggse-agent@line2

cp $settings /tmp/settings
sed -i 's|source: demo://.*|source: /dev/video77|' $settings
check "starts with no camera there" systemctl restart vggse-agent
sleep 2
check "stays up without a camera" systemctl is-active vggse-agent
check "the journal has level and camera of what it is told" bash -c \
	"journalctl -u vggse-agent -p warning VGGSE_CAMERA=camera --no-pager | grep -q 'camera lost'"
cp /tmp/settings $settings
systemctl restart vggse-agent

# A camera that is not there at the start, then is: GStreamer reads its frames from a file.
sed -i 's|source: demo://.*|source: "gst:filesrc location=/run/camera.raw ! rawvideoparse width=64 height=48 format=bgr framerate=10/1 ! appsink"|' $settings
systemctl restart vggse-agent
check "up with a camera that is not plugged in" until_true 20 bash -c 'systemctl show -p StatusText --value vggse-agent | grep -q "0 of 1 cameras"'
pid=$(property MainPID)
head -c $((64 * 48 * 3 * 1000)) /dev/urandom >/run/camera.raw
check "the camera is plugged in, and delivers" until_true 30 bash -c 'systemctl show -p StatusText --value vggse-agent | grep -q "1 of 1 cameras deliver, .* [1-9][0-9]* frames"'
check "in the same process" is MainPID "$pid"
cp /tmp/settings $settings
systemctl restart vggse-agent
check "the demo again" until_true 20 frames

# How the process ended is written down by the unit: what was a crash, and what was not.
once=/run/systemd/system/vggse-agent.service.d
mkdir -p $once && printf '[Service]\nRestart=no\n' >$once/once.conf && systemctl daemon-reload
record=/var/lib/vggse-agent/last-end.json
for signal in SEGV KILL; do
	kill -$signal "$(property MainPID)"
	check "the unit records an end by SIG$signal" until_true 20 grep -q "\"status\":\"$signal\"" $record
	check "as the service's user, for it alone" test "$(stat -c '%U %a' $record)" = "vggse-agent 600"
	systemctl reset-failed vggse-agent
	check "it starts after that" systemctl start vggse-agent
done
rm $once/once.conf && systemctl daemon-reload

pid=$(property MainPID)
vggse-agent new --out /tmp/other --classes 4 --width 0.125 --input 64 --hidden 16 --pool 2 --reduction 4 --seed 3 >/dev/null 2>&1
sum=$(vggse-agent model install /tmp/other --json | grep -o '[0-9a-f]\{64\}')
check "an installed model is verified and activated" vggse-agent model activate "$sum"
check "reload" systemctl reload vggse-agent
check "the running process takes it" until_true 20 bash -c "journalctl -u vggse-agent --no-pager | grep -q 'network ready.*models/$sum'"
check "the same process, its cameras open" bash -c "[ \"\$(systemctl show -p MainPID --value vggse-agent)\" = $pid ] && ! journalctl _PID=$pid --no-pager | grep -q 'camera lost'"

# runs MODEL: the process of now, and no other, has opened it.
runs() { journalctl "_PID=$(property MainPID)" --no-pager | grep -q "network ready.*models/$1"; }
another() { [ "$(property MainPID)" != 0 ] && [ "$(property MainPID)" != "$1" ]; }
crash() { # and wait for the next process
	local was
	was=$(property MainPID)
	kill -SEGV "$was"
	until_true 20 another "$was"
}
vggse-agent new --out /tmp/third --classes 4 --width 0.125 --input 64 --hidden 16 --pool 2 --reduction 4 --seed 5 >/dev/null 2>&1
crashing=$(vggse-agent model install /tmp/third --json | grep -o '[0-9a-f]\{64\}')
check "a model that will crash is activated" vggse-agent model activate "$crashing"
systemctl reload vggse-agent
check "it runs" until_true 20 runs "$crashing"
check "it crashes, and is started again" crash
check "it runs again" until_true 20 runs "$crashing"
check "it crashes once more" crash
check "after the second crash the model before runs" until_true 20 runs "$sum"
check "the journal says why" bash -c "journalctl -u vggse-agent --no-pager | grep 'the new model was refused' | grep -q SEGV"
check "frames of it" until_true 20 frames
pid=$(property MainPID)

sed -i 's/^  id: ""/  id: reloaded/' $settings
check "reload" systemctl reload vggse-agent
check "it takes the new settings" until_true 20 bash -c 'journalctl -u vggse-agent --no-pager | grep -q "taking new settings"'
check "frames after it, in the same process" until_true 20 frames
check "the same process" is MainPID "$pid"
echo 'mqtt: {brokr: x}' >$settings
systemctl reload vggse-agent
check "wrong settings are refused" until_true 10 bash -c 'journalctl -u vggse-agent --no-pager | grep -q "new settings refused"'
cp /tmp/settings $settings
check "and the service goes on" is MainPID "$pid"

check "an upgrade keeps it running" dpkg --force-confold -i /new.deb
check "it is ready with the new version" systemctl is-active vggse-agent
check "frames again" until_true 20 frames
if dpkg --force-confold -i /bad.deb >/tmp/bad 2>&1; then fail "an upgrade to a broken binary counts as done"; else good "an upgrade to a broken binary fails"; fi
check "it says so" grep -q 'the old one runs again' /tmp/bad
check "the old binary runs again" until_true 20 frames

echo 'mqtt: {brokr: x}' >$settings
systemctl restart vggse-agent 2>/dev/null
check "bad settings are not tried again" until_true 10 bash -c '[ "$(systemctl show -p ActiveState,ExecMainStatus --value vggse-agent | tr "\n" " ")" = "78 failed " ] || [ "$(systemctl show -p ActiveState,ExecMainStatus --value vggse-agent | tr "\n" " ")" = "failed 78 " ]'
cp /tmp/settings $settings
systemctl reset-failed vggse-agent
check "and it starts with good ones" systemctl start vggse-agent

echo "      memory of the service: $(($(grep -oE '[0-9]+' <<<"$(grep VmRSS /proc/"$(property MainPID)"/status)") / 1024)) MiB"
begin=$(ms)
check "stop" systemctl stop vggse-agent
took=$(($(ms) - begin))
echo "      stopped after $took ms"
check "stop in less than 5 s, cleanly" test $took -lt 5000 -a "$(property Result)" = success
check "remove" dpkg -r vggse-agent
exit $failed
