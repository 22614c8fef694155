package configs

import (
	"strings"
	"sync"
)

// namesElsewhere are settings as other programs call and divide them, by their section: pairs of a name
// without its capitals, _ and -, and the setting here.
var namesElsewhere = map[string]string{
	"": "logging log logger log camera cameras streams cameras sources cameras source cameras " +
		"broker mqtt.broker bundle model.bundle models model topic mqtt.topic_prefix user mqtt.user " +
		"username mqtt.user password mqtt.password " +
		"threshold decide.threshold listen http.listen port http.listen web http server http " +
		"metrics http name device.name id device.id devicename device.name hostname device.id loglevel log.level " +
		"inference infer providers infer.providers state state_dir cache cache_dir statedir state_dir " +
		"cachedir cache_dir",
	"mqtt": "host mqtt.broker hostname mqtt.broker port mqtt.broker server mqtt.broker url mqtt.broker " +
		"uri mqtt.broker address mqtt.broker brokerurl mqtt.broker brokerhost mqtt.broker endpoint mqtt.broker " +
		"username mqtt.user login mqtt.user pass mqtt.password passwd mqtt.password pwd mqtt.password " +
		"secret mqtt.password passwordfile mqtt.password_file passfile mqtt.password_file id mqtt.client_id " +
		"clientid mqtt.client_id topic mqtt.topic_prefix prefix mqtt.topic_prefix basetopic mqtt.topic_prefix " +
		"topicprefix mqtt.topic_prefix keepalive mqtt.keep_alive ca mqtt.tls.ca cafile mqtt.tls.ca " +
		"cacert mqtt.tls.ca cacerts mqtt.tls.ca cert mqtt.tls.cert " +
		"certfile mqtt.tls.cert clientcert mqtt.tls.cert key mqtt.tls.key " +
		"keyfile mqtt.tls.key clientkey mqtt.tls.key ssl mqtt.tls homeassistant mqtt.discovery hass mqtt.discovery",
	"mqtt.tls": "cafile mqtt.tls.ca cacert mqtt.tls.ca cacerts mqtt.tls.ca certfile mqtt.tls.cert " +
		"certificate mqtt.tls.cert clientcert mqtt.tls.cert keyfile mqtt.tls.key privatekey mqtt.tls.key " +
		"clientkey mqtt.tls.key",
	"cameras.*": "url source uri source src source path source device source stream source input source " +
		"address source rtsp source file source video source id name camera name label name region roi regions roi " +
		"crop roi zone roi zones roi area roi mask roi framerate fps rate fps maxfps fps disabled enabled " +
		"active enabled on enabled threshold decide.threshold heartbeat publish.heartbeat",
	"model": "path model.bundle file model.bundle dir model.bundle folder model.bundle name model.bundle " +
		"onnx model.bundle weights model.bundle dtype model.precision",
	"infer": "provider infer.providers device infer.providers backend infer.providers batch infer.max_batch " +
		"batchsize infer.max_batch maxbatch infer.max_batch lib infer.library runtime infer.library",
	"decide": "confidence decide.threshold minscore decide.threshold score decide.threshold " +
		"minconfidence decide.threshold topk decide.top_k frames decide.confirm hold decide.dwell",
	"http": "port http.listen host http.listen address http.listen bind http.listen token http.token_file " +
		"password http.token_file tokenfile http.token_file cert http.tls.cert key http.tls.key",
	"samples": "path samples.dir folder samples.dir interval samples.every max samples.count",
	"log":     "verbosity log.level loglevel log.level",
	"device":  "hostname device.id group device.groups location device.site label device.name",
}

// ofSource are names of what a camera's source says itself.
const ofSource = "flip rotate rotation width height resolution size codec transport timeout latency loop speed"

// otherNames are namesElsewhere and ofSource by section and name; a text with a blank says what to do in the
// place of a setting.
var otherNames = sync.OnceValue(func() map[string]map[string]string {
	all := make(map[string]map[string]string)
	for section, text := range namesElsewhere {
		fields := strings.Fields(text)
		all[section] = make(map[string]string, len(fields)/2)
		for i := 0; i+1 < len(fields); i += 2 {
			all[section][fields[i]] = fields[i+1]
		}
	}
	for _, name := range strings.Fields(ofSource) {
		all["cameras.*"][name] = "it belongs to the source, as a key of its URI ('vggse-agent cameras test " +
			"URI?nonsense=1' names those of a scheme)"
	}
	return all
})

// otherName is what a key of another program is here, "" of any other. In the name of an environment
// variable each _ may stand between a section and its key.
func otherName(key string) string {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return otherNameIn(key[:i], key[i+1:])
	}
	for i, r := range key {
		if r != '_' {
			continue
		}
		if found := otherNameIn(strings.ReplaceAll(key[:i], "_", "."), key[i+1:]); found != "" {
			return found
		}
	}
	return otherNameIn("", key)
}

func otherNameIn(section, last string) string {
	last = strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(last))
	found := otherNames()[generic(strings.ToLower(section))][last]
	if found == "" || strings.Contains(found, " ") || generic(section) != "cameras.*" {
		return found
	}
	return section + "." + found
}
