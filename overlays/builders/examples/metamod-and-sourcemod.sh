# Metamod:Source and SourceMod, the newest builds of their stable branches.
# Needs the internet, curl, tar. What is written into this directory becomes the overlay.
METAMOD=1.12
SOURCEMOD=1.12

fetch() {
  # $1: address of a text file that names the newest archive, $2: where the archives lie
  name=$(curl -fsS --max-time 60 "$1")
  echo "fetching $name"
  curl -fsS --retry 3 --max-time 600 "$2/$name" | tar -xz -C left4dead2
}

mkdir -p left4dead2
fetch "https://mms.alliedmods.net/mmsdrop/$METAMOD/mmsource-latest-linux" "https://mms.alliedmods.net/mmsdrop/$METAMOD"
fetch "https://sm.alliedmods.net/smdrop/$SOURCEMOD/sourcemod-latest-linux" "https://sm.alliedmods.net/smdrop/$SOURCEMOD"

# L4D2's engine looks for this file to load Metamod.
cat > left4dead2/addons/metamod.vdf <<'VDF'
"Plugin"
{
	"file"	"addons/metamod/bin/server"
}
VDF
echo "done: add yourself to left4dead2/addons/sourcemod/configs/admins_simple.ini in a files overlay above this one"
