//! Where the made-up people live: Katsushika has its own districts, every other municipality common names
//! of districts in a town that is plainly a specimen.

use crate::domain::municipality::MunicipalityCode;

const KATSUSHIKA: &str = "131229";

const OF_KATSUSHIKA: [&str; 30] = [
    "青戸",
    "奥戸",
    "お花茶屋",
    "金町",
    "金町浄水場",
    "鎌倉",
    "亀有",
    "小菅",
    "白鳥",
    "柴又",
    "新小岩",
    "高砂",
    "宝町",
    "立石",
    "西亀有",
    "西新小岩",
    "西水元",
    "新宿",
    "東金町",
    "東新小岩",
    "東立石",
    "東堀切",
    "東水元",
    "東四つ木",
    "細田",
    "堀切",
    "水元",
    "水元公園",
    "南水元",
    "四つ木",
];

const OF_OTHERS: [&str; 20] = [
    "本町",
    "中央",
    "栄町",
    "緑町",
    "旭町",
    "若葉",
    "桜町",
    "東町",
    "西町",
    "南町",
    "北町",
    "新町",
    "元町",
    "幸町",
    "寿町",
    "末広",
    "大手町",
    "川原",
    "山手",
    "浜町",
];

const PREFECTURES: [&str; 47] = [
    "北海道",
    "青森県",
    "岩手県",
    "宮城県",
    "秋田県",
    "山形県",
    "福島県",
    "茨城県",
    "栃木県",
    "群馬県",
    "埼玉県",
    "千葉県",
    "東京都",
    "神奈川県",
    "新潟県",
    "富山県",
    "石川県",
    "福井県",
    "山梨県",
    "長野県",
    "岐阜県",
    "静岡県",
    "愛知県",
    "三重県",
    "滋賀県",
    "京都府",
    "大阪府",
    "兵庫県",
    "奈良県",
    "和歌山県",
    "鳥取県",
    "島根県",
    "岡山県",
    "広島県",
    "山口県",
    "徳島県",
    "香川県",
    "愛媛県",
    "高知県",
    "福岡県",
    "佐賀県",
    "長崎県",
    "熊本県",
    "大分県",
    "宮崎県",
    "鹿児島県",
    "沖縄県",
];

/// The districts of a municipality.
pub(crate) fn districts(code: MunicipalityCode) -> &'static [&'static str] {
    if code.to_string() == KATSUSHIKA { &OF_KATSUSHIKA } else { &OF_OTHERS }
}

/// What stands before the district in an address.
pub(crate) fn town(code: MunicipalityCode) -> String {
    let index = usize::try_from(code.prefecture()).expect("47 fits") - 1;
    let prefecture = PREFECTURES[index];
    if code.to_string() == KATSUSHIKA {
        return format!("{prefecture}葛飾区");
    }
    format!("{prefecture}見本市（{code}）")
}
