# A plain competitive configuration: no internet, nothing but files.
mkdir -p left4dead2/cfg
cat > left4dead2/cfg/server.cfg <<'CFG'
// Rates for a server of 60 ticks and above
sv_minrate 60000
sv_maxrate 100000
sv_mincmdrate 60
sv_maxcmdrate 100
sv_minupdaterate 60
sv_maxupdaterate 100
net_splitpacket_maxrate 100000
net_maxcleartime 0.0001

// Versus between people who know each other
sv_consistency 1
sv_pure 2
sv_alltalk 0
sv_pausable 1
sv_voiceenable 1
z_difficulty Normal
CFG
